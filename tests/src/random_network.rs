//! Random networks of inverted residual blocks, with and without channels that carry nothing.
//!
//! A seed gives a pair of networks that compute the same function. In the second, channels were put between those of the first that are
//! constants: rows about 1e-20 or cut off by a clip, with biases of any kind, and around them whatever training may have left: columns
//! and depthwise rows from 1e-20 to 1e4. Where a constant is not 0, the biases behind it make up for it.

use fewbit::graph::{Activation, Conv2d, Graph, Input, Linear, Node, Op, TensorId, Window};
use fewbit::random::Sequence;
use std::collections::BTreeMap;

use crate::random_layer::Numbers;

/// Height and width of the input.
const SIZE: usize = 8;

/// Channels of the input.
const COLOURS: usize = 3;

/// Classes.
const CLASSES: usize = 5;

/// Two networks with the same function.
#[derive(Clone, Debug)]
pub struct Pair {
    /// All channels are alive.
    pub live: Graph,
    /// With constant channels in between.
    pub mixed: Graph,
    /// Which output channels of each layer of [`Pair::mixed`], by its name, are those of [`Pair::live`].
    pub alive: BTreeMap<String, Vec<bool>>,
}

impl Pair {
    /// The networks of a seed, for inputs in -1..1.
    #[must_use]
    pub fn new(seed: u64) -> Pair {
        let dead = Numbers::new(seed.wrapping_add(1 << 32));
        Pair::with(seed, &Numbers::new(seed), dead)
    }

    /// The networks of two lists of choices, for the architecture and for the constant channels, with weights of a seed; shorter lists, or such of smaller
    /// numbers, give simpler networks.
    #[must_use]
    pub fn from_lists(shape: &[u64], dead: &[u64], weights: u64) -> Pair {
        Pair::with(
            weights,
            &Numbers::from_list(shape),
            Numbers::from_list(dead),
        )
    }

    fn with(weights: u64, shape: &Numbers, dead: Numbers) -> Pair {
        let (live, _) = Builder::new(weights, shape.clone(), None).build();
        let (mixed, alive) = Builder::new(weights, shape.clone(), Some(dead)).build();
        Pair { live, mixed, alive }
    }
}

/// A tensor, and what each of its channels is: the constant, or something that lives.
#[derive(Clone, Debug)]
struct Made {
    id: TensorId,
    constants: Vec<Option<f32>>,
}

impl Made {
    fn alive(&self) -> usize {
        self.constants.iter().filter(|c| c.is_none()).count()
    }

    fn mask(&self) -> Vec<bool> {
        self.constants.iter().map(Option::is_none).collect()
    }
}

/// Kinds of constant channels of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Constants {
    /// 0 behind the activation, as a layer that pads reads them.
    Zero,
    /// Anything.
    Any,
}

struct Builder {
    graph: Graph,
    /// The architecture.
    shape: Numbers,
    /// Weights of live channels.
    live: Sequence,
    /// Everything about constant channels; none if there are to be none.
    dead: Option<Numbers>,
    alive: BTreeMap<String, Vec<bool>>,
}

impl Builder {
    fn new(weights: u64, shape: Numbers, dead: Option<Numbers>) -> Builder {
        let mut graph = Graph::new("random");
        let image = vec![SIZE, SIZE, COLOURS];
        let tensor = graph.add_tensor("image", image.clone());
        graph.inputs.push(Input {
            tensor,
            source_shape: image,
            source_axes: vec![0, 1, 2],
        });
        Builder {
            graph,
            shape,
            live: Sequence::new(weights),
            dead,
            alive: BTreeMap::new(),
        }
    }

    fn build(mut self) -> (Graph, BTreeMap<String, Vec<bool>>) {
        let input = Made {
            id: TensorId::new(0),
            constants: vec![None; COLOURS],
        };
        let channels = self.shape.size(4, 10);
        let mask = self.mask(channels);
        let activation = self.activation();
        let stem = window(3, 1, 1);
        let mut trunk = self.layer("stem", &input, &mask, stem, activation, Constants::Any);
        for block in 0..self.shape.size(1, 3) {
            trunk = self.block(block, &trunk);
        }
        let size = self.graph.tensors[trunk.id].shape[0];
        let pool = Op::AveragePool {
            window: window(size, size, 0),
            count_include_pad: false,
        };
        let pooled = self.push("pool", pool, &[trunk.id], None);
        trunk.id = self.push("flat", Op::Reshape, &[pooled], None);
        let (weights, bias, _) = self.rows(&trunk, &[true; CLASSES], 1, None, Constants::Any);
        let classes = Op::FullyConnected(linear(weights, bias));
        let output = self.push("classes", classes, &[trunk.id], None);
        self.alive.insert("classes".to_owned(), vec![true; CLASSES]);
        self.graph.outputs.push(output);
        self.graph.validate().expect("sound");
        (self.graph, self.alive)
    }

    /// Expansion, depthwise convolution, projection, and a sum where the shapes allow it.
    fn block(&mut self, block: usize, trunk: &Made) -> Made {
        let stride = self.shape.size(1, 2);
        let wide = trunk.alive() * self.shape.size(1, 3);
        let mask = self.mask(wide);
        let activation = self.activation();
        let (name, point) = (|layer| format!("{layer}{block}"), window(1, 1, 0));
        let (expand, depthwise) = (name("expand"), name("depthwise"));
        let hidden = self.layer(&expand, trunk, &mask, point, activation, Constants::Zero);
        let activation = self.activation();
        let hidden = self.depthwise(&depthwise, &hidden, window(3, stride, 1), activation);
        let residual = stride == 1 && self.shape.chance(70);
        let mask = if residual {
            trunk.mask()
        } else {
            let narrow = self.shape.size(4, 10);
            self.mask(narrow)
        };
        let project = name("project");
        let mut out = self.layer(&project, &hidden, &mask, point, None, Constants::Any);
        if residual {
            // The third block takes the larger of the two.
            let (op, join): (_, fn(f32, f32) -> f32) = match block {
                2 => (Op::Max, f32::max),
                _ => (Op::Add, |a, b| a + b),
            };
            out.id = self.push(&name("sum"), op, &[trunk.id, out.id], None);
            for (sum, skipped) in out.constants.iter_mut().zip(&trunk.constants) {
                *sum = sum.zip(*skipped).map(|(a, b)| join(a, b));
            }
        }
        out
    }

    /// `live` channels with a few others between them.
    fn mask(&mut self, live: usize) -> Vec<bool> {
        let mut mask = vec![true; live];
        if let Some(dead) = &mut self.dead {
            for _ in 0..dead.size(0, 3) {
                let place = dead.index(mask.len() + 1);
                mask.insert(place, false);
            }
        }
        mask
    }

    fn activation(&mut self) -> Option<Activation> {
        match self.shape.size(0, 3) {
            0 => None,
            1 => Some(Activation::Relu),
            _ => Some(Activation::Clip { min: 0.0, max: 6.0 }),
        }
    }

    fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[TensorId],
        activation: Option<Activation>,
    ) -> TensorId {
        let mut node = Node {
            name: name.to_owned(),
            op,
            inputs: inputs.to_vec(),
            output: TensorId::new(0),
            activation,
        };
        let shape = match node.op {
            Op::Reshape => vec![self.graph.tensors[inputs[0]].elements()],
            _ => self.graph.output_shape(&node).expect("fits"),
        };
        let output = self.graph.add_tensor(name, shape);
        node.output = output;
        self.graph.nodes.push(node);
        output
    }

    /// A convolution that reads all channels.
    fn layer(
        &mut self,
        name: &str,
        input: &Made,
        mask: &[bool],
        window: Window,
        activation: Option<Activation>,
        allowed: Constants,
    ) -> Made {
        let taps = window.kernel[0] * window.kernel[1];
        let (weights, bias, constants) = self.rows(input, mask, taps, activation.as_ref(), allowed);
        let op = Op::Conv2d(Conv2d {
            linear: linear(weights, bias),
            in_channels: input.constants.len(),
            groups: 1,
            window,
        });
        self.alive.insert(name.to_owned(), mask.to_vec());
        let id = self.push(name, op, &[input.id], activation);
        Made { id, constants }
    }

    /// Weights, biases and constants of rows that read all of `input`, `taps` times.
    fn rows(
        &mut self,
        input: &Made,
        mask: &[bool],
        taps: usize,
        activation: Option<&Activation>,
        allowed: Constants,
    ) -> (Vec<f32>, Vec<f32>, Vec<Option<f32>>) {
        let spread = (4.0 / (taps * input.alive()) as f32).sqrt();
        let (mut weights, mut biases, mut constants) = (Vec::new(), Vec::new(), Vec::new());
        for &alive in mask {
            let mut added = 0.0;
            // Inputs of the network are bounded, so that a clip may cut off what is not small.
            let cut =
                !alive && input.id == TensorId::new(0) && activation.is_some() && self.decide(50);
            for _ in 0..taps {
                for &constant in &input.constants {
                    let weight = match constant {
                        None if alive => self.live.values(1, -spread, spread)[0],
                        None if cut => self.signed(-3.0, -1.5),
                        None => self.signed(-22.0, -18.0),
                        Some(0.0) => self.signed(-20.0, 4.0),
                        Some(_) if alive => self.signed(-20.0, 0.5),
                        Some(_) => self.signed(-22.0, -18.0),
                    };
                    added += f64::from(weight) * f64::from(constant.unwrap_or(0.0));
                    weights.push(weight);
                }
            }
            if alive {
                let bias = self.live.values(1, -0.3, 0.3)[0];
                biases.push((f64::from(bias) - added) as f32);
                constants.push(None);
                continue;
            }
            let bias = match allowed {
                _ if cut => -2.0 - self.signed(-1.0, 0.0).abs(),
                Constants::Zero if activation.is_none() || self.decide(30) => 0.0,
                Constants::Zero => -self.signed(-3.0, 1.0).abs(),
                Constants::Any => self.signed(-3.0, 0.5),
            };
            biases.push(bias);
            constants.push(Some(
                activation.map_or(bias, |function| function.apply(0, bias)),
            ));
        }
        (weights, biases, constants)
    }

    fn depthwise(
        &mut self,
        name: &str,
        input: &Made,
        window: Window,
        activation: Option<Activation>,
    ) -> Made {
        let taps = window.kernel[0] * window.kernel[1];
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        let mut constants = Vec::new();
        for &constant in &input.constants {
            if constant.is_none() {
                weights.extend(self.live.values(taps, -0.6, 0.8));
                biases.extend(self.live.values(1, -0.3, 0.3));
                constants.push(None);
                continue;
            }
            weights.extend((0..taps).map(|_| self.signed(-20.0, 4.0)));
            let bias = self.signed(-3.0, 0.5);
            biases.push(bias);
            let applied = activation.as_ref().map(|function| function.apply(0, bias));
            constants.push(Some(applied.unwrap_or(bias)));
        }
        let op = Op::Conv2d(Conv2d {
            linear: linear(weights, biases),
            in_channels: input.constants.len(),
            groups: input.constants.len(),
            window,
        });
        self.alive.insert(name.to_owned(), input.mask());
        let id = self.push(name, op, &[input.id], activation);
        Made { id, constants }
    }

    fn decide(&mut self, percent: i64) -> bool {
        self.dead.as_mut().is_some_and(|dead| dead.chance(percent))
    }

    /// Plus or minus ten to a power between the two.
    fn signed(&mut self, low: f32, high: f32) -> f32 {
        let Some(dead) = &mut self.dead else {
            return 0.0;
        };
        let share = dead.range(0, 1 << 20) as f32 / (1 << 20) as f32;
        let magnitude = 10.0_f32.powf(low + (high - low) * share);
        if dead.chance(50) {
            magnitude
        } else {
            -magnitude
        }
    }
}

fn linear(weights: Vec<f32>, bias: Vec<f32>) -> Linear {
    Linear {
        weights,
        out_channels: bias.len(),
        bias,
        folded: None,
    }
}

fn window(kernel: usize, stride: usize, padding: usize) -> Window {
    let mut window = Window::new([kernel; 2]);
    window.stride = [stride; 2];
    window.pad_before = [padding; 2];
    window.pad_after = [padding; 2];
    window
}
