//! One node of a graph, run alone over many samples.

use super::{Executor, ExecutorError};
use crate::graph::{Graph, GraphError, Input, Node, TensorId};
use crate::parallel;
use std::ops::Range;

/// Most samples that go through a node together.
const MOST: usize = 8;

/// Elements that they have of the largest tensor, unless a single sample has more (16 MiB).
const ELEMENTS: usize = 4 << 20;

/// Samples that go through each node of `graph` together; it follows from the graph alone, so that results do not depend on the number of threads.
pub(crate) fn block_samples(graph: &Graph) -> usize {
    let largest = graph.tensors.iter().map(|tensor| tensor.elements()).max();
    (ELEMENTS / largest.unwrap_or(1).max(1)).clamp(1, MOST)
}

/// The samples in blocks of `size`.
pub(crate) fn blocks(samples: usize, size: usize) -> Vec<Range<usize>> {
    (0..samples)
        .step_by(size)
        .map(|first| first..samples.min(first + size))
        .collect()
}

/// A graph that contains one node of another, with the node's operands as its inputs.
#[derive(Clone, Debug)]
pub struct SingleNode {
    graph: Graph,
    /// Tensors of the other graph that the node reads, each once.
    reads: Vec<TensorId>,
    /// Samples that [`SingleNode::run_blocks`] takes together.
    block: usize,
}

impl SingleNode {
    /// Cuts `node` out of `graph`.
    pub fn new(graph: &Graph, node: &Node) -> SingleNode {
        let mut single = Graph::new(node.name.clone());
        let mut reads: Vec<TensorId> = Vec::new();
        let mut inputs: Vec<TensorId> = Vec::new();
        for &read in &node.inputs {
            let place = reads.iter().position(|&known| known == read);
            inputs.push(place.map(TensorId::new).unwrap_or_else(|| {
                let tensor = &graph.tensors[read];
                let id = single.add_tensor(tensor.name.clone(), tensor.shape.clone());
                single.inputs.push(Input {
                    tensor: id,
                    source_shape: tensor.shape.clone(),
                    source_axes: (0..tensor.shape.len()).collect(),
                });
                reads.push(read);
                id
            }));
        }
        let output = &graph.tensors[node.output];
        let output = single.add_tensor(output.name.clone(), output.shape.clone());
        single.outputs.push(output);
        single.nodes.push(Node {
            inputs,
            output,
            ..node.clone()
        });
        SingleNode {
            graph: single,
            reads,
            block: block_samples(graph),
        }
    }

    /// Runs the node over `samples` samples; `values` gives all samples of a tensor that it reads, one after the other.
    ///
    /// # Errors
    /// A node that is not sound, or values that do not suit it.
    pub fn run<'v>(
        &self,
        samples: usize,
        values: impl Fn(TensorId) -> &'v [f32],
    ) -> Result<Vec<f32>, SingleNodeError> {
        let read: Vec<&[f32]> = self.reads.iter().map(|&read| values(read)).collect();
        Ok(forward(&Executor::new(&self.graph)?, samples, &read)?)
    }

    /// Runs the node over `samples` samples, some at a time and several of these at once. `read` gives the values of some samples of a tensor;
    /// `take` gets the node's output for them, and what it makes of it is returned in the order of the samples.
    pub(crate) fn run_blocks<T: Send>(
        &self,
        samples: usize,
        read: impl Fn(TensorId, Range<usize>) -> Result<Vec<f32>, SingleNodeError> + Sync,
        take: impl Fn(Vec<f32>) -> T + Sync,
    ) -> Result<Vec<T>, SingleNodeError> {
        let executor = Executor::new(&self.graph)?;
        let blocks = blocks(samples, self.block);
        let results = parallel::map(blocks.len(), |index| {
            Ok(take(self.forward_block(
                &executor,
                blocks[index].clone(),
                &read,
            )?))
        });
        results.into_iter().collect()
    }

    /// Samples that [`SingleNode::run_blocks`] takes together.
    pub(crate) fn block(&self) -> usize {
        self.block
    }

    /// The node's output for a block of samples, of which `read` gives the values of a tensor.
    pub(crate) fn run_block(
        &self,
        block: Range<usize>,
        read: impl Fn(TensorId, Range<usize>) -> Result<Vec<f32>, SingleNodeError>,
    ) -> Result<Vec<f32>, SingleNodeError> {
        self.forward_block(&Executor::new(&self.graph)?, block, &read)
    }

    fn forward_block(
        &self,
        executor: &Executor<'_>,
        block: Range<usize>,
        read: &impl Fn(TensorId, Range<usize>) -> Result<Vec<f32>, SingleNodeError>,
    ) -> Result<Vec<f32>, SingleNodeError> {
        let values: Vec<Vec<f32>> = (self.reads.iter())
            .map(|&tensor| read(tensor, block.clone()))
            .collect::<Result<_, _>>()?;
        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        Ok(forward(executor, block.len(), &values)?)
    }
}

/// One pass over samples of a node's inputs, each given tensor by tensor.
fn forward(
    executor: &Executor<'_>,
    samples: usize,
    values: &[&[f32]],
) -> Result<Vec<f32>, ExecutorError> {
    if let [only] = values {
        return executor.forward(only, samples);
    }
    let mut input = Vec::with_capacity(samples * executor.input_elements());
    for sample in 0..samples {
        for values in values {
            let elements = values.len() / samples.max(1);
            input.extend_from_slice(&values[sample * elements..][..elements]);
        }
    }
    executor.forward(&input, samples)
}

/// Reason why a single node did not run.
#[derive(Debug, thiserror::Error)]
pub enum SingleNodeError {
    /// The node is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The executor refused.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}
