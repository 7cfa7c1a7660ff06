//! The engine on golden vectors.
//!
//! `tests/vectors/<operator>/<case>.toml` come from `tests/vectors/generate.py`, which computes with exact rationals and
//! shares no code with this repository's Rust. The oracle of the random layers has to agree as well.

use fewbit_runtime::format::place::{ParamIndex, WeightsOffset};
use fewbit_runtime::format::program::{
    Add, AveragePool, Clamp, Concat, Constant, Conv2d, Extremum, FullyConnected, Lut, MaxPool, Mul,
    Op, Pad, Requant, ScaledSoftmax, Scratch, Softmax, TensorIndex, Transpose, Unary, WeightType,
    Window,
};
use fewbit_tests::layer::Layer;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    why: String,
    op: VectorOp,
    #[serde(default)]
    inputs: Vec<VectorTensor>,
    output: VectorTensor,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorTensor {
    shape: [usize; 3],
    zero_point: i8,
    data: Vec<i8>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct VectorWindow {
    kernel: [u16; 2],
    stride: [u8; 2],
    dilation: [u8; 2],
    /// Top, left, bottom, right.
    padding: [u8; 4],
}

#[derive(Debug, Deserialize)]
struct VectorRequant {
    pre_shift: u8,
    multipliers: Vec<i32>,
    /// One pair, or a pair a channel.
    clamps: Vec<[i8; 2]>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum VectorWeightType {
    Int8,
    Int4,
}

/// Weights in the document's order, not packed.
#[derive(Debug, Deserialize)]
struct VectorWeights {
    weight_type: VectorWeightType,
    weights: Vec<i8>,
    bias: Vec<i32>,
    #[serde(flatten)]
    requant: VectorRequant,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct VectorChoice {
    a_multiplier: i16,
    b_multiplier: i16,
    shift: u8,
    min: i8,
    max: i8,
}

impl VectorChoice {
    fn extremum(self, [a, b]: [TensorIndex; 2], output: TensorIndex) -> Extremum {
        Extremum {
            a,
            b,
            output,
            a_multiplier: self.a_multiplier,
            b_multiplier: self.b_multiplier,
            shift: self.shift,
            min: self.min,
            max: self.max,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum VectorOp {
    #[serde(rename = "conv_2d")]
    Conv2d {
        groups: u16,
        #[serde(flatten)]
        window: VectorWindow,
        #[serde(flatten)]
        weights: VectorWeights,
    },
    #[serde(rename = "depthwise_conv_2d")]
    DepthwiseConv2d {
        #[serde(flatten)]
        window: VectorWindow,
        #[serde(flatten)]
        weights: VectorWeights,
    },
    FullyConnected {
        #[serde(flatten)]
        weights: VectorWeights,
    },
    MaxPool {
        #[serde(flatten)]
        window: VectorWindow,
        min: i8,
        max: i8,
    },
    AveragePool {
        #[serde(flatten)]
        window: VectorWindow,
        multiplier_per_count: bool,
        #[serde(flatten)]
        requant: VectorRequant,
    },
    Add {
        a_multiplier: i16,
        b_multiplier: i16,
        shift: u8,
        min: i8,
        max: i8,
    },
    Max {
        #[serde(flatten)]
        choice: VectorChoice,
    },
    Min {
        #[serde(flatten)]
        choice: VectorChoice,
    },
    Mul {
        #[serde(flatten)]
        requant: VectorRequant,
    },
    Lut {
        table: Vec<i8>,
    },
    Softmax {
        table: Vec<i32>,
    },
    ScaledSoftmax {
        table: Vec<i32>,
        steps: u32,
    },
    Reshape {},
    Transpose {
        dims: [u16; 4],
        perm: [u8; 4],
    },
    Concat {
        axis: u8,
    },
    Pad {
        before: [u16; 3],
        after: [u16; 3],
        value: i8,
    },
    Constant {
        values: Vec<i8>,
    },
}

impl VectorWindow {
    fn window(self) -> Window {
        let [pad_top, pad_left, pad_bottom, pad_right] = self.padding;
        Window {
            kernel_h: self.kernel[0],
            kernel_w: self.kernel[1],
            stride_h: self.stride[0],
            stride_w: self.stride[1],
            dilation_h: self.dilation[0],
            dilation_w: self.dilation[1],
            pad_top,
            pad_left,
            pad_bottom,
            pad_right,
        }
    }
}

impl VectorRequant {
    fn requant(&self, layer: &mut Layer) -> Requant {
        let clamp = match self.clamps[..] {
            [[min, max]] => Clamp::PerTensor { min, max },
            _ => Clamp::PerChannel {
                offset: layer.bytes(self.clamps.as_flattened()),
            },
        };
        Requant {
            multipliers: layer.values(&self.multipliers),
            pre_shift: self.pre_shift,
            clamp,
        }
    }
}

/// The constants of a layer with weights, in its sections.
struct Placed {
    weight_type: WeightType,
    weights: WeightsOffset,
    bias: ParamIndex,
    requant: Requant,
}

impl VectorWeights {
    fn place(&self, layer: &mut Layer, row_len: usize) -> Placed {
        let weight_type = match self.weight_type {
            VectorWeightType::Int8 => WeightType::Int8,
            VectorWeightType::Int4 => WeightType::Int4,
        };
        Placed {
            weight_type,
            weights: layer.pack(&self.weights, weight_type, row_len),
            bias: layer.values(&self.bias),
            requant: self.requant.requant(layer),
        }
    }
}

/// The convolution of `weights` placed in rows of `row_len`.
fn conv(
    layer: &mut Layer,
    (input, output): (TensorIndex, TensorIndex),
    window: VectorWindow,
    groups: u16,
    (weights, row_len): (&VectorWeights, usize),
) -> Conv2d {
    let Placed {
        weight_type,
        weights,
        bias,
        requant,
    } = weights.place(layer, row_len);
    let scratch = Scratch::default();
    Conv2d {
        input,
        output,
        window: window.window(),
        groups,
        weight_type,
        weights,
        bias,
        requant,
        scratch,
    }
}

/// Builds the model of a vector.
fn layer_of(vector: &Vector) -> Layer {
    let mut layer = Layer::default();
    let add_input = |tensor: &VectorTensor, layer: &mut Layer| {
        layer.input(tensor.shape, tensor.zero_point, tensor.data.clone())
    };
    let inputs: Vec<TensorIndex> = vector
        .inputs
        .iter()
        .map(|tensor| add_input(tensor, &mut layer))
        .collect();
    let output = layer.tensor(vector.output.shape, vector.output.zero_point);
    let out_c = vector.output.shape[2];
    let input = inputs.first().copied().unwrap_or(output);
    // An elementwise operator with one input takes it twice.
    let second = inputs.get(1).copied().unwrap_or(input);
    let ports = (input, output);
    let op = match &vector.op {
        VectorOp::Conv2d {
            groups,
            window,
            weights,
        } => {
            let row_len = weights.weights.len() / out_c;
            Op::Conv2d(conv(
                &mut layer,
                ports,
                *window,
                *groups,
                (weights, row_len),
            ))
        }
        VectorOp::DepthwiseConv2d { window, weights } => {
            let groups = u16::try_from(vector.inputs[0].shape[2]).expect("few channels");
            Op::DepthwiseConv2d(conv(&mut layer, ports, *window, groups, (weights, out_c)))
        }
        VectorOp::FullyConnected { weights } => {
            let Placed {
                weight_type,
                weights,
                bias,
                requant,
            } = weights.place(&mut layer, vector.inputs[0].data.len());
            let scratch = Scratch::default();
            Op::FullyConnected(FullyConnected {
                input,
                output,
                weight_type,
                weights,
                bias,
                requant,
                scratch,
            })
        }
        VectorOp::MaxPool { window, min, max } => Op::MaxPool(MaxPool {
            input,
            output,
            window: window.window(),
            min: *min,
            max: *max,
        }),
        VectorOp::AveragePool {
            window,
            multiplier_per_count,
            requant,
        } => Op::AveragePool(AveragePool {
            input,
            output,
            window: window.window(),
            multiplier_per_count: *multiplier_per_count,
            requant: requant.requant(&mut layer),
        }),
        &VectorOp::Add {
            a_multiplier,
            b_multiplier,
            shift,
            min,
            max,
        } => Op::Add(Add {
            a: input,
            b: second,
            output,
            a_multiplier,
            b_multiplier,
            shift,
            min,
            max,
        }),
        VectorOp::Max { choice } => Op::Max(choice.extremum([input, second], output)),
        VectorOp::Min { choice } => Op::Min(choice.extremum([input, second], output)),
        VectorOp::Mul { requant } => Op::Mul(Mul {
            a: input,
            b: second,
            output,
            requant: requant.requant(&mut layer),
        }),
        VectorOp::Lut { table } => Op::Lut(Lut {
            input,
            output,
            table: layer.bytes(table),
        }),
        VectorOp::Softmax { table } => Op::Softmax(Softmax {
            input,
            output,
            table: layer.values(table),
        }),
        VectorOp::ScaledSoftmax { table, steps } => Op::ScaledSoftmax(ScaledSoftmax {
            input,
            output,
            table: layer.values(table),
            steps: *steps,
        }),
        VectorOp::Reshape {} => Op::Reshape(Unary { input, output }),
        &VectorOp::Transpose { dims, perm } => Op::Transpose(Transpose {
            input,
            output,
            dims,
            perm,
        }),
        &VectorOp::Concat { axis } => {
            let inputs = heapless::Vec::from_slice(&inputs).expect("few inputs");
            Op::Concat(Concat {
                inputs,
                output,
                axis,
            })
        }
        &VectorOp::Pad {
            before,
            after,
            value,
        } => Op::Pad(Pad {
            input,
            output,
            before,
            after,
            value,
        }),
        VectorOp::Constant { values } => Op::Constant(Constant {
            output,
            data: layer.bytes(values),
        }),
    };
    layer.op(op);
    let in_place = matches!(vector.op, VectorOp::Reshape {});
    let shared = if in_place {
        vec![(output, input)]
    } else {
        Vec::new()
    };
    let order: Vec<(usize, u32)> = (0..layer.program.tensors.len())
        .filter(|&index| !in_place || index != usize::from(output))
        .map(|index| (index, 0))
        .collect();
    layer.place(&order, &shared);
    layer
}

/// The vector files below `folder`, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn engine_and_oracle_return_the_golden_bytes() {
    let folder = Path::new("vectors");
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for path in files(folder) {
        let name = path
            .strip_prefix(folder)
            .expect("below the folder")
            .display()
            .to_string();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let vector: Vector =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let layer = layer_of(&vector);
        let why = &vector.why;
        let expected = std::slice::from_ref(&vector.output.data);
        let (by_oracle, _) = layer.expected();
        assert_eq!(by_oracle, expected, "{name} by the oracle: {why}");
        let by_engine = layer
            .run()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(by_engine, expected, "{name} by the engine: {why}");
        let operator = name
            .split(['/', '\\'])
            .next()
            .unwrap_or_default()
            .to_owned();
        *counts.entry(operator).or_default() += 1;
    }
    println!(
        "{} golden vectors: {counts:?}",
        counts.values().sum::<u32>()
    );
    for (operator, _) in fewbit_tests::random_layer::SHARES {
        let count = counts.get(operator).copied().unwrap_or(0);
        assert!(
            count >= 2,
            "{count} vectors of {operator} in {}",
            folder.display()
        );
    }
}
