//! The integer simulation: the device's own engine, run here.
//!
//! Nothing is modelled: the blob is loaded and executed by `fewbit-runtime`, sample after sample, on all cores.

use crate::compile::{HostModel, MAX_AXES};
use crate::dataset::{InputLayout, InputTransform, OutputForm};
use crate::graph::OutputLayout;
use crate::quantize::Encoding;
use fewbit_runtime::format::program::TensorIndex;
use fewbit_runtime::{Engine, LoadError, Metadata, PortInfo};
use rayon::prelude::*;

/// Runs a blob.
pub struct Simulator<'a> {
    model: Box<HostModel<'a>>,
    metadata: Metadata,
    input: PortInfo,
    output: PortInfo,
}

/// Results of a batch of samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The network's output, sample after sample.
    pub output: Vec<i8>,
    /// Output of the captured operator, sample after sample.
    pub captured: Vec<i8>,
}

impl<'a> Simulator<'a> {
    /// Loads a blob, which has to be aligned (see `AlignedBlob`).
    ///
    /// # Errors
    /// A blob that the runtime refuses, or one that has not exactly one input and one output.
    pub fn new(blob: &'a [u8]) -> Result<Self, SimulateError> {
        let model = Box::new(HostModel::from_bytes(blob)?);
        let metadata = Metadata::from_bytes(blob)?.ok_or(SimulateError::Metadata)?;
        let ports = (model.input_count(), model.output_count());
        match (model.input(0), model.output(0)) {
            (Some(input), Some(output)) if ports == (1, 1) => {
                let simulator = Simulator {
                    model,
                    metadata,
                    input,
                    output,
                };
                match simulator.source_problem() {
                    Some(problem) => Err(SimulateError::Source { problem }),
                    None => Ok(simulator),
                }
            }
            _ => Err(SimulateError::Ports {
                inputs: ports.0,
                outputs: ports.1,
            }),
        }
    }

    /// The loaded model.
    pub fn model(&self) -> &HostModel<'a> {
        &self.model
    }

    /// Names and scales.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Encoding of the input.
    pub fn input_encoding(&self) -> Encoding {
        encoding(self.input)
    }

    /// Encoding of the output.
    pub fn output_encoding(&self) -> Encoding {
        encoding(self.output)
    }

    /// Elements of one input.
    pub fn input_elements(&self) -> usize {
        self.input.elements()
    }

    /// Elements of one output.
    pub fn output_elements(&self) -> usize {
        self.output.elements()
    }

    /// Shape of one input, `[h, w, c]`.
    pub fn input_shape(&self) -> [usize; 3] {
        self.input.shape.map(usize::from)
    }

    /// Shape of one output, `[h, w, c]`.
    pub fn output_shape(&self) -> [usize; 3] {
        self.output.shape.map(usize::from)
    }

    /// The tensor that operator `op` writes and its elements.
    pub fn op_output(&self, op: usize) -> Option<(TensorIndex, usize)> {
        let program = self.model.program();
        let tensor = program.ops.get(op)?.output();
        Some((
            tensor,
            program.tensors.get(usize::from(tensor))?.elements() as usize,
        ))
    }

    /// Encoding of the tensor that operator `op` writes.
    pub fn op_encoding(&self, op: usize) -> Option<Encoding> {
        let (tensor, _) = self.op_output(op)?;
        let tensor = usize::from(tensor);
        let scale = f32::from_bits(self.metadata.tensors.get(tensor)?.scale_bits);
        let zero_point = self.model.program().tensors.get(tensor)?.zero_point;
        Some(Encoding::int8(scale, i32::from(zero_point)))
    }

    /// Name of operator `op`.
    pub fn op_name(&self, op: usize) -> &str {
        self.metadata.ops.get(op).map_or("?", |op| &op.name)
    }

    /// Conversion of stored data to the input: layout and preprocessing.
    pub fn input_source(&self) -> (InputLayout, InputTransform) {
        let shape = self.input_shape().to_vec();
        let sizes = |sizes: &[u32]| sizes.iter().map(|&size| size as usize).collect();
        let reals = |bits: &[u32]| bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        match self.metadata.inputs.first() {
            Some(source) => (
                InputLayout {
                    shape: sizes(&source.shape),
                    source_shape: sizes(&source.source_shape),
                    source_axes: sizes(&source.source_axes),
                },
                InputTransform {
                    divisor: f32::from_bits(source.divisor_bits),
                    mean: reals(&source.mean_bits),
                    std: reals(&source.std_bits),
                    range: None,
                },
            ),
            None => (
                InputLayout {
                    source_shape: shape.clone(),
                    source_axes: (0..shape.len()).collect(),
                    shape,
                },
                InputTransform::default(),
            ),
        }
    }

    /// Error in the metadata's conversion of stored data to the input, or of outputs to those of the source model.
    fn source_problem(&self) -> Option<String> {
        let (layout, transform) = self.input_source();
        let expected = self.input_elements();
        for shape in [&layout.shape, &layout.source_shape] {
            if elements(shape) != Some(expected) {
                return Some(format!(
                    "the input has the shape {shape:?}, and the program needs {expected} elements"
                ));
            }
        }
        let mut axes = layout.source_axes.clone();
        axes.sort_unstable();
        if !axes.into_iter().eq(0..layout.source_shape.len()) {
            return Some(format!(
                "{:?} is not an order of the axes of {:?}",
                layout.source_axes, layout.source_shape
            ));
        }
        transform.problem(&layout).or_else(|| self.output_problem())
    }

    /// Error in the metadata's layout of the output in the source model.
    fn output_problem(&self) -> Option<String> {
        let OutputForm {
            stored,
            layout: Some(layout),
        } = self.output_form()
        else {
            return None;
        };
        let axes = stored.len().max(layout.shape.len()).max(layout.order.len());
        if axes > MAX_AXES {
            return Some(format!(
                "the output has {axes} axes, and at most {MAX_AXES} are read"
            ));
        }
        let expected = self.output_elements();
        for shape in [&stored, &layout.shape] {
            if elements(shape) != Some(expected) {
                return Some(format!(
                    "the output has the shape {shape:?}, and the program gives {expected} elements"
                ));
            }
        }
        let mut order = layout.order.clone();
        order.sort_unstable();
        order.dedup();
        let left_out = (0..stored.len()).filter(|axis| !order.contains(axis));
        let whole = order.len() == layout.order.len()
            && order.last().is_none_or(|&axis| axis < stored.len())
            && left_out.into_iter().all(|axis| stored[axis] == 1);
        if !whole {
            return Some(format!(
                "{:?} is not an order of the axes of {stored:?}",
                layout.order
            ));
        }
        let batch = layout.batch?;
        (batch > layout.shape.len()).then(|| {
            format!(
                "the batch cannot be axis {batch} of outputs of shape {:?}",
                layout.shape
            )
        })
    }

    /// Name of the output in the source model.
    pub fn output_name(&self) -> Option<&str> {
        let port = self.model.program().outputs.first()?;
        let tensor = self.metadata.tensors.get(usize::from(port.tensor))?;
        Some(&tensor.name)
    }

    /// The form of the output: how its source model has it, which the first blobs do not say; then as it lies on the device.
    pub fn output_form(&self) -> OutputForm {
        let sizes = |sizes: &[u32]| sizes.iter().map(|&size| size as usize).collect();
        match self.metadata.outputs.first() {
            Some(output) => OutputForm {
                stored: sizes(&output.shape),
                layout: Some(OutputLayout {
                    shape: sizes(&output.source_shape),
                    order: sizes(&output.order),
                    batch: output.batch.map(|axis| axis as usize),
                }),
            },
            None => OutputForm {
                stored: self.output_shape().to_vec(),
                layout: None,
            },
        }
    }

    /// Quantizes real inputs.
    pub fn quantize_inputs(&self, inputs: &[f32]) -> Vec<i8> {
        let encoding = self.input_encoding();
        inputs.iter().map(|&real| encoding.quantize(real)).collect()
    }

    /// Runs the samples in `inputs` one by one; optionally keeps the output of operator `capture` of each.
    ///
    /// # Errors
    /// Inputs that are no whole number of samples.
    pub fn run(&self, inputs: &[i8], capture: Option<usize>) -> Result<Outputs, SimulateError> {
        let elements = self.input_elements();
        if !inputs.len().is_multiple_of(elements) {
            return Err(SimulateError::Inputs {
                found: inputs.len(),
                expected: elements,
            });
        }
        // One arena a worker: samples are dealt out in blocks, results come back in order.
        let results: Vec<Result<Outputs, SimulateError>> = inputs
            .par_chunks(elements * 4)
            .map_init(
                || vec![0_i8; self.model.arena_bytes()],
                |arena, block| {
                    let mut outputs = Outputs::default();
                    for input in block.chunks_exact(elements) {
                        let observe = |op: usize, bytes: &[i8]| {
                            if Some(op) == capture {
                                outputs.captured.extend_from_slice(bytes);
                            }
                        };
                        let output = self.run_observed(input, arena, observe)?;
                        outputs.output.extend_from_slice(&output);
                    }
                    Ok(outputs)
                },
            )
            .collect();
        let mut all = Outputs::default();
        for outputs in results {
            let outputs = outputs?;
            all.output.extend(outputs.output);
            all.captured.extend(outputs.captured);
        }
        Ok(all)
    }

    /// Runs one sample and shows the output of every operator as it is written.
    ///
    /// # Errors
    /// An arena or an input of the wrong size.
    pub fn run_observed(
        &self,
        input: &[i8],
        arena: &mut [i8],
        mut observe: impl FnMut(usize, &[i8]),
    ) -> Result<Vec<i8>, SimulateError> {
        let found = arena.len();
        let mut engine = Engine::new(&self.model, arena).map_err(|_| SimulateError::Arena {
            found,
            expected: self.model.arena_bytes(),
        })?;
        let place = engine.input_mut(0);
        if place.len() != input.len() {
            return Err(SimulateError::Inputs {
                found: input.len(),
                expected: place.len(),
            });
        }
        place.copy_from_slice(input);
        for op in 0..self.model.op_count() {
            engine.step(op);
            observe(op, engine.op_output(op));
        }
        Ok(engine.output(0).to_vec())
    }
}

/// The product of a shape, which may be anything.
fn elements(shape: &[usize]) -> Option<usize> {
    let mut sizes = shape.iter().copied();
    sizes.try_fold(1_usize, |all, size| all.checked_mul(size))
}

fn encoding(port: PortInfo) -> Encoding {
    Encoding::int8(f32::from_bits(port.scale_bits), i32::from(port.zero_point))
}

/// Advice on a blob that does not load, if the error does not give it itself.
fn way_out(error: &LoadError) -> &'static str {
    match error {
        LoadError::Packing { .. }
        | LoadError::OtherFamily { .. }
        | LoadError::Kernel { .. }
        | LoadError::Misaligned { .. } => "",
        LoadError::Checksum { .. } | LoadError::TooShort { .. } => {
            "; copy it again, or quantize the model again"
        }
        LoadError::Version { .. } | LoadError::Arithmetic { .. } => "; quantize the model again",
        _ => "; the blob is damaged or was made by another version: quantize the model again",
    }
}

/// Reason why a blob cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The runtime refuses it.
    #[error("{}{}", .0, way_out(.0))]
    Load(#[from] LoadError),
    /// The metadata says impossible things of the input or the output.
    #[error("the blob's metadata does not suit its program: {problem}; quantize the model again")]
    Source {
        /// What.
        problem: String,
    },
    /// There is no metadata.
    #[error("the blob has no readable metadata; quantize the model again")]
    Metadata,
    /// Several inputs or outputs.
    #[error(
        "the model has {inputs} inputs and {outputs} outputs; this tool runs models with one of each"
    )]
    Ports {
        /// Inputs found.
        inputs: usize,
        /// Outputs found.
        outputs: usize,
    },
    /// Inputs of the wrong length.
    #[error("got {found} input values, expected a multiple of {expected}")]
    Inputs {
        /// Values found.
        found: usize,
        /// Values of one sample.
        expected: usize,
    },
    /// The arena is too small.
    #[error("got an arena of {found} bytes, the model needs {expected}")]
    Arena {
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, Op, TensorId};
    use crate::pipeline::{Calibration, quantize};
    use crate::progress::Silent;
    use crate::recipe::Recipe;
    use crate::testing::{graph_of, push};
    use fewbit_runtime::format::write::assemble;
    use fewbit_runtime::{AlignedBlob, OutputMetadata, ProgramParts};

    #[test]
    fn what_metadata_says_of_the_output_has_to_suit_the_program() {
        let mut graph = graph_of(&[&[1, 2, 3]]);
        push(
            &mut graph,
            Op::Activation(Activation::Tanh),
            &[TensorId::new(0)],
            &[],
        );
        let ranges = [crate::range::Range {
            min: -1.0,
            max: 1.0,
        }];
        let calibration = Calibration::Statistics(&ranges);
        let quantized = quantize(&graph, calibration, &Recipe::default(), &mut Silent);
        let blob = quantized.expect("quantizes").blob;
        let simulator = Simulator::new(blob.as_bytes()).expect("loads");
        assert_eq!(simulator.output_form(), OutputForm::of(&graph));
        let model = simulator.model();
        let parts = ProgramParts::of(model);
        let problem = |shape: &[u32], source_shape: &[u32], order: &[u32], batch| {
            let mut metadata = simulator.metadata().clone();
            metadata.outputs = vec![OutputMetadata {
                shape: shape.to_vec(),
                source_shape: source_shape.to_vec(),
                order: order.to_vec(),
                batch,
            }];
            let blob = assemble(&parts, model.weights(), model.params(), &metadata);
            let blob = AlignedBlob::new(&blob.expect("fits"));
            let problem = Simulator::new(blob.as_bytes()).err();
            problem.map_or(String::new(), |problem| {
                assert!(matches!(problem, SimulateError::Source { .. }), "{problem}");
                problem.to_string()
            })
        };
        for batch in [None, Some(0), Some(2)] {
            assert_eq!(problem(&[1, 2, 3], &[3, 2], &[2, 1], batch), "");
        }
        assert_eq!(problem(&[6], &[1, 3, 2], &[0], Some(3)), "");
        let many = [vec![2, 3], vec![1; 63]].concat();
        let huge = [u32::MAX; 3];
        for (found, part) in [
            (problem(&[1, 2, 4], &[3, 2], &[2, 1], None), "[1, 2, 4]"),
            (problem(&huge, &[3, 2], &[2, 1], None), "6 elements"),
            (problem(&[1, 2, 3], &[3, 3], &[2, 1], None), "[3, 3]"),
            (problem(&[1, 2, 3], &[3, 0], &[2, 1], None), "[3, 0]"),
            (problem(&[1, 2, 3], &[3, 2], &[2], None), "not an order"),
            (
                problem(&[1, 2, 3], &[3, 2], &[2, 2, 1], None),
                "not an order",
            ),
            (
                problem(&[1, 2, 3], &[3, 2], &[2, 1, 3], None),
                "not an order",
            ),
            (problem(&[1, 2, 3], &[3, 2], &[2, 1], Some(3)), "axis 3"),
            (problem(&many, &[3, 2], &[1, 0], None), "65 axes"),
            (problem(&[6], &many, &[0], None), "65 axes"),
            (problem(&[6], &[6], &[0; 65], None), "65 axes"),
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
    }
}
