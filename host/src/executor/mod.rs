//! Runs a float graph: the reference for accuracy and the source of ranges.
//!
//! Values are `f32` and sums too. Results do not depend on the number of threads or samples, nor on whether a run is observed: no
//! sum is shared between threads, and the order of its terms depends on shapes alone. Nor do they depend on the processor: products
//! are added in one rounding on all of them, and functions such as the exponential are Rust code (`libm`), not the system's.

mod aligned;
mod check;
mod conv;
mod depthwise;
mod epilogue;
mod fully_connected;
mod fused;
pub(crate) mod layout;
pub(crate) mod matmul;
mod plan;
mod products;
mod single;
mod strips;
mod taps;
#[cfg(test)]
mod tests;
mod tiles;
mod windowed;

use std::sync::{Mutex, PoisonError};

use crate::graph::{Graph, GraphError, TensorId};

pub use single::{SingleNode, SingleNodeError};
pub(crate) use single::{block_samples, blocks};

use aligned::Aligned;
use plan::Plan;

/// Most samples that go through the network together.
const MAX_CHUNK: usize = 32;

/// Elements that the buffers of a chunk may hold together, unless a single sample needs more: 16 MiB, so that what a node writes is
/// still in a large cache when the next one reads it.
const MAX_CHUNK_ELEMENTS: usize = 4 << 20;

/// Sees, and may change, every tensor of a run.
///
/// Also implemented for closures.
pub trait Hook {
    /// Called once a chunk for every tensor, network inputs first, then in the order of the nodes, each after its fused activation.
    ///
    /// `values` holds the chunk's samples one after the other, each as its tensor lies (NHWC). What is left in it is what the readers
    /// of the tensor get.
    fn tensor(&mut self, id: TensorId, values: &mut [f32]);
}

impl<F: FnMut(TensorId, &mut [f32])> Hook for F {
    fn tensor(&mut self, id: TensorId, values: &mut [f32]) {
        self(id, values);
    }
}

/// Reason why a run was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutorError {
    /// The input does not hold as many elements as the samples have.
    #[error(
        "the input of `{graph}` has {found} elements, expected {samples} samples of {elements}"
    )]
    InputLength {
        /// Name of the network.
        graph: String,
        /// Elements given.
        found: usize,
        /// Requested number of samples.
        samples: usize,
        /// Elements of one sample.
        elements: usize,
    },
}

/// A graph prepared to run, with its buffers.
#[derive(Debug)]
pub struct Executor<'g> {
    graph: &'g Graph,
    plan: Plan<'g>,
    chunk: usize,
    /// Buffers of runs that are over, for the next ones.
    spare: Mutex<Vec<Vec<Aligned>>>,
}

impl<'g> Executor<'g> {
    /// Checks the graph and prepares its weights. A graph that changes needs a new executor.
    ///
    /// # Errors
    /// The first node that is wrong.
    pub fn new(graph: &'g Graph) -> Result<Self, GraphError> {
        check::check(graph)?;
        let plan = Plan::new(graph);
        let per_sample: usize = plan.slot_elements.iter().sum();
        Ok(Executor {
            graph,
            plan,
            chunk: (MAX_CHUNK_ELEMENTS / per_sample.max(1)).clamp(1, MAX_CHUNK),
            spare: Mutex::new(Vec::new()),
        })
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// Samples that go through the network together, 1 to 32; the last chunk of a run may have fewer.
    pub fn chunk_samples(&self) -> usize {
        self.chunk
    }

    /// Elements of one sample of the input: those of all network inputs together.
    pub fn input_elements(&self) -> usize {
        self.elements(self.graph.inputs.iter().map(|input| input.tensor))
    }

    /// Elements of one sample of the output: those of all network outputs together.
    pub fn output_elements(&self) -> usize {
        self.elements(self.graph.outputs.iter().copied())
    }

    fn elements(&self, ids: impl Iterator<Item = TensorId>) -> usize {
        ids.map(|id| self.graph.tensors[id].elements()).sum()
    }

    /// Runs `samples` samples and shows every tensor to `hook`.
    ///
    /// `input` holds one sample after the other in the graph's layout (NHWC); of a network with several inputs, each sample is its
    /// inputs one after the other. The result is laid out likewise.
    ///
    /// # Errors
    /// If `input` does not hold as many elements as the samples have.
    pub fn run(
        &self,
        input: &[f32],
        samples: usize,
        hook: &mut dyn Hook,
    ) -> Result<Vec<f32>, ExecutorError> {
        self.check_input(input, samples)?;
        Ok(self.run_chunks(input, samples, Some(hook)))
    }

    /// As [`Executor::run`] without a hook, and faster: the same bits, but only the outputs can be seen.
    ///
    /// # Errors
    /// If `input` does not hold as many elements as the samples have.
    pub fn forward(&self, input: &[f32], samples: usize) -> Result<Vec<f32>, ExecutorError> {
        self.check_input(input, samples)?;
        // Within the thread pool from the start, so that it need not be entered for every node.
        Ok(rayon::scope(|_| self.run_chunks(input, samples, None)))
    }

    fn check_input(&self, input: &[f32], samples: usize) -> Result<(), ExecutorError> {
        let elements = self.input_elements();
        if samples.checked_mul(elements) == Some(input.len()) {
            return Ok(());
        }
        Err(ExecutorError::InputLength {
            graph: self.graph.name.clone(),
            found: input.len(),
            samples,
            elements,
        })
    }

    fn run_chunks(
        &self,
        input: &[f32],
        samples: usize,
        mut hook: Option<&mut dyn Hook>,
    ) -> Vec<f32> {
        let (input_len, output_len) = (self.input_elements(), self.output_elements());
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers = spare().pop().unwrap_or_default();
        buffers.resize_with(self.plan.slot_elements.len(), Aligned::default);
        let mut output = Vec::with_capacity(samples * output_len);
        for start in (0..samples).step_by(self.chunk) {
            let count = self.chunk.min(samples - start);
            let input = &input[start * input_len..][..count * input_len];
            for (buffer, &elements) in buffers.iter_mut().zip(&self.plan.slot_elements) {
                buffer.reserve(count * elements);
            }
            // Not `as_deref_mut`, which would borrow the hook for its whole lifetime.
            let hook: Option<&mut dyn Hook> = match &mut hook {
                Some(hook) => Some(&mut **hook),
                None => None,
            };
            self.run_chunk(input, count, &mut buffers, hook);
            self.collect(count, &buffers, &mut output);
        }
        spare().push(buffers);
        output
    }

    fn run_chunk(
        &self,
        input: &[f32],
        samples: usize,
        buffers: &mut [Aligned],
        mut hook: Option<&mut dyn Hook>,
    ) {
        let len = |id: TensorId| samples * self.graph.tensors[id].elements();
        let slot = |id: TensorId| self.plan.slot[id];
        // The only input of a run that is not observed is read where it lies.
        let direct = match self.graph.inputs.as_slice() {
            [only] if hook.is_none() && !self.graph.outputs.contains(&only.tensor) => {
                Some(only.tensor)
            }
            _ => None,
        };
        let mut offset = 0;
        for tensor in self.graph.inputs.iter().map(|input| input.tensor) {
            if direct == Some(tensor) {
                continue;
            }
            let elements = self.graph.tensors[tensor].elements();
            let values = &mut buffers[slot(tensor)][..len(tensor)];
            let source = input.chunks_exact(self.input_elements());
            for (values, sample) in values.chunks_exact_mut(elements).zip(source) {
                values.copy_from_slice(&sample[offset..][..elements]);
            }
            offset += elements;
            if let Some(hook) = &mut hook {
                hook.tensor(tensor, values);
            }
        }
        for step in &self.plan.steps {
            if step.absorbed && hook.is_none() {
                continue;
            }
            let mut buffer = std::mem::take(&mut buffers[slot(step.output)]);
            let output = &mut buffer[..len(step.output)];
            let inputs: Vec<&[f32]> = step
                .inputs
                .iter()
                // The first input of a step that works in place is in the output.
                .map(|&id| match direct == Some(id) {
                    true => input,
                    false => buffers[slot(id)].get(..len(id)).unwrap_or_default(),
                })
                .collect();
            let in_place = step.in_place && direct != step.inputs.first().copied();
            let channels = self.graph.tensors[step.output].channels();
            let epilogue = if hook.is_some() {
                &step.own
            } else {
                &step.fused
            };
            step.kernel
                .run(&inputs, output, channels, in_place, epilogue);
            if let Some(hook) = &mut hook {
                hook.tensor(step.output, output);
            }
            buffers[slot(step.output)] = buffer;
        }
    }

    /// Appends the outputs of a chunk, sample by sample.
    fn collect(&self, samples: usize, buffers: &[Aligned], output: &mut Vec<f32>) {
        for sample in 0..samples {
            for &tensor in &self.graph.outputs {
                let elements = self.graph.tensors[tensor].elements();
                let values = &buffers[self.plan.slot[tensor]];
                output.extend_from_slice(&values[sample * elements..][..elements]);
            }
        }
    }
}
