//! The tensors that are still to be read, each with its values for all samples.
//!
//! Of layers that widen their input, such as the first one of an inverted residual block, the output would take most of a walk's memory. It is not kept but made
//! anew from the input, block by block, whenever it is read; the same bits come out.

use super::store::{Block, Store, read_samples};
use crate::executor::{SingleNode, SingleNodeError, blocks};
use crate::graph::{Graph, Node, TensorId, TensorMap};
use crate::parallel;
use std::ops::Range;

/// Elements of a tensor for all samples from which it may be computed again: 64 MiB in half precision. Below, keeping it is cheaper.
const LARGE: usize = 32 << 20;

/// Smallest ratio of such a tensor's size to that of its operator's inputs.
const WIDENING: usize = 2;

/// Values of one tensor for all samples.
enum Values<'a, B> {
    Kept(Store<B>),
    Made(Made<'a, B>),
}

/// Values that are made whenever they are read.
struct Made<'a, B> {
    node: SingleNode,
    /// Treatment of the node's output for a block of samples.
    keep: Box<dyn Fn(Vec<f32>) -> B + Send + Sync + 'a>,
}

/// Tensors that have values on a walk, and those of them that are computed again.
struct Lifetimes<'a> {
    graph: &'a Graph,
    samples: usize,
    /// Elements of a tensor for all samples from which it may be computed again.
    large: usize,
    /// Nodes that have yet to read each tensor, and tensors that are made from it.
    readers: TensorMap<usize>,
    is_made: TensorMap<bool>,
    /// Sources of each tensor that is computed again.
    sources: TensorMap<Vec<TensorId>>,
}

impl<'a> Lifetimes<'a> {
    fn new(graph: &'a Graph, samples: usize, large: usize) -> Self {
        let tensors = &graph.tensors;
        let readers = |tensor| graph.consumers(tensor).len();
        Lifetimes {
            graph,
            samples,
            large,
            readers: tensors.ids().map(readers).collect(),
            is_made: tensors.map(|_| false),
            sources: tensors.map(|_| Vec::new()),
        }
    }

    /// Of all samples.
    fn elements(&self, tensor: TensorId) -> usize {
        self.samples * self.graph.tensors[tensor].elements()
    }

    /// Whether the output of `node`, which comes next, is computed again whenever it is read.
    fn begin(&mut self, node: &Node) -> bool {
        let inputs = node.inputs.iter().map(|&input| self.elements(input));
        let output = self.elements(node.output);
        let widens = output >= WIDENING * inputs.sum::<usize>().max(1);
        let from_kept = node.inputs.iter().all(|&input| !self.is_made[input]);
        self.is_made[node.output] = widens && from_kept && output > self.large;
        self.is_made[node.output]
    }

    /// The tensors that nobody will read any more, now that `node` has run.
    fn end(&mut self, node: &Node) -> Vec<TensorId> {
        let mut inputs = node.inputs.clone();
        inputs.sort_unstable();
        inputs.dedup();
        let mut over = Vec::new();
        if self.is_made[node.output] {
            self.sources[node.output] = inputs;
        } else {
            (inputs.into_iter()).for_each(|input| self.release(input, &mut over));
        }
        if self.readers[node.output] == 0 {
            self.drop(node.output, &mut over);
        }
        over
    }

    fn release(&mut self, tensor: TensorId, over: &mut Vec<TensorId>) {
        self.readers[tensor] -= 1;
        if self.readers[tensor] == 0 {
            self.drop(tensor, over);
        }
    }

    fn drop(&mut self, tensor: TensorId, over: &mut Vec<TensorId>) {
        over.push(tensor);
        for source in std::mem::take(&mut self.sources[tensor]) {
            self.release(source, over);
        }
    }
}

/// Most elements that a walk over the nodes of `graph` keeps at a time.
pub(crate) fn kept_elements(graph: &Graph, samples: usize) -> usize {
    most_kept(Lifetimes::new(graph, samples, LARGE))
}

fn most_kept(mut lifetimes: Lifetimes<'_>) -> usize {
    let graph = lifetimes.graph;
    let inputs = graph
        .inputs
        .iter()
        .map(|input| lifetimes.elements(input.tensor));
    let mut live: usize = inputs.sum();
    let mut most = live;
    for node in &graph.nodes {
        if !lifetimes.begin(node) {
            live += lifetimes.elements(node.output);
        }
        most = most.max(live);
        for tensor in lifetimes.end(node) {
            if !lifetimes.is_made[tensor] {
                live = live.saturating_sub(lifetimes.elements(tensor));
            }
        }
    }
    most
}

/// The tensors of one network on a walk over its nodes. Values go when their last reader has run.
pub(crate) struct Tensors<'a, B> {
    graph: &'a Graph,
    samples: usize,
    values: TensorMap<Values<'a, B>>,
    lifetimes: Lifetimes<'a>,
}

impl<'a, B: Block + Send + Sync> Tensors<'a, B> {
    /// No values yet.
    pub(crate) fn new(graph: &'a Graph, samples: usize) -> Self {
        Tensors {
            graph,
            samples,
            values: graph
                .tensors
                .ids()
                .map(|_| Values::Kept(Store::default()))
                .collect(),
            lifetimes: Lifetimes::new(graph, samples, LARGE),
        }
    }

    /// Sets the values of an input of the network, which has them block by block.
    pub(crate) fn set(&mut self, tensor: TensorId, blocks: Vec<B>) {
        self.values[tensor] = Values::Kept(Store(blocks));
    }

    /// Values of a tensor, sample after sample.
    ///
    /// # Errors
    /// A node that does not run again.
    pub(crate) fn read(
        &self,
        tensor: TensorId,
        samples: Range<usize>,
    ) -> Result<Vec<f32>, SingleNodeError> {
        self.read_elements(tensor, samples, 0..self.graph.tensors[tensor].elements())
    }

    /// Values `of` each sample of a tensor, sample after sample.
    ///
    /// # Errors
    /// A node that does not run again.
    pub(crate) fn read_elements(
        &self,
        tensor: TensorId,
        samples: Range<usize>,
        of: Range<usize>,
    ) -> Result<Vec<f32>, SingleNodeError> {
        let elements = self.graph.tensors[tensor].elements();
        let made = match &self.values[tensor] {
            Values::Kept(store) => return Ok(store.read(samples, elements, of)),
            Values::Made(made) => made,
        };
        let mut values = Vec::with_capacity(samples.len() * of.len());
        // Whole blocks, as the precision in which values are kept depends on all of a block.
        for block in blocks(self.samples, made.node.block()) {
            let (start, end) = (samples.start.max(block.start), samples.end.min(block.end));
            if start < end {
                let first = block.start;
                let output = made
                    .node
                    .run_block(block, |tensor, samples| self.read(tensor, samples))?;
                let output = (made.keep)(output);
                read_samples(
                    &output,
                    start - first..end - first,
                    elements,
                    &of,
                    &mut values,
                );
            }
        }
        Ok(values)
    }

    /// Runs `node` over all samples and returns what `take` makes of its output, block by block; `keep` says what the tensor is from then on.
    ///
    /// # Errors
    /// A node that does not run.
    pub(crate) fn run<T: Send>(
        &mut self,
        node: &Node,
        take: impl Fn(&[f32]) -> T + Sync,
        keep: impl Fn(Vec<f32>) -> B + Send + Sync + 'a,
    ) -> Result<Vec<T>, SingleNodeError> {
        let kept = !self.lifetimes.begin(node);
        let single = SingleNode::new(self.graph, node);
        let done = self.outputs(&single, |output| {
            (take(&output), kept.then(|| keep(output)))
        })?;
        let (taken, values): (_, Vec<Option<B>>) = done.into_iter().unzip();
        self.put(node, single, values, keep);
        Ok(taken)
    }

    /// As [`Tensors::run`] where nothing is to be found out: what is made anew is not run.
    ///
    /// # Errors
    /// A node that does not run.
    pub(crate) fn pass(
        &mut self,
        node: &Node,
        keep: impl Fn(Vec<f32>) -> B + Send + Sync + 'a,
    ) -> Result<(), SingleNodeError> {
        let single = SingleNode::new(self.graph, node);
        let values = if self.lifetimes.begin(node) {
            Vec::new()
        } else {
            self.outputs(&single, |output| Some(keep(output)))?
        };
        self.put(node, single, values, keep);
        Ok(())
    }

    /// Runs `node` over all samples and gives what `take` made of its outputs to `then`; its answer changes them, which are held as by `bare` meanwhile.
    ///
    /// # Errors
    /// A node that does not run.
    pub(crate) fn run_then<T: Send, C: Fn(B) -> B + Send + Sync + 'a>(
        &mut self,
        node: &Node,
        take: impl Fn(&[f32]) -> T + Sync,
        bare: impl Fn(Vec<f32>) -> B + Send + Sync + 'a,
        then: impl FnOnce(Vec<T>) -> C,
    ) -> Result<(), SingleNodeError> {
        let kept = !self.lifetimes.begin(node);
        let single = SingleNode::new(self.graph, node);
        let done = self.outputs(&single, |output| {
            (take(&output), kept.then(|| bare(output)))
        })?;
        let (taken, values): (_, Vec<Option<B>>) = done.into_iter().unzip();
        let change = then(taken);
        let mut values = values;
        parallel::for_each_item(values.iter_mut(), |_, block| {
            *block = block.take().map(&change);
        });
        self.put(node, single, values, move |output| change(bare(output)));
        Ok(())
    }

    /// Drops what nobody will read any more, now that `node` has run.
    pub(crate) fn finish(&mut self, node: &Node) {
        for tensor in self.lifetimes.end(node) {
            self.values[tensor] = Values::Kept(Store::default());
        }
    }

    fn outputs<T: Send>(
        &self,
        node: &SingleNode,
        take: impl Fn(Vec<f32>) -> T + Sync,
    ) -> Result<Vec<T>, SingleNodeError> {
        node.run_blocks(
            self.samples,
            |tensor, samples| self.read(tensor, samples),
            take,
        )
    }

    fn put(
        &mut self,
        node: &Node,
        single: SingleNode,
        values: Vec<Option<B>>,
        keep: impl Fn(Vec<f32>) -> B + Send + Sync + 'a,
    ) {
        self.values[node.output] = if self.lifetimes.is_made[node.output] {
            Values::Made(Made {
                node: single,
                keep: Box::new(keep),
            })
        } else {
            Values::Kept(Store(values.into_iter().flatten().collect()))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Halves;
    use super::*;
    use crate::default_model;
    use crate::executor::block_samples;
    use crate::import::ImportOptions;
    use crate::ptq::passes;
    use crate::recipe::Recipe;
    use crate::testing::Sequence;

    /// Walks over `graph` and returns everything that is read on the way, the tensors that were made anew, and those with values at the end. No more is
    /// kept at a time than was said before.
    fn walk(graph: &Graph, samples: usize, large: usize) -> (Vec<Vec<f32>>, usize, usize) {
        let elements_kept = |values: &Values<'_, Halves>| match values {
            Values::Kept(store) => store.0.iter().map(Block::len).sum(),
            Values::Made(_) => 0,
        };
        let mut most = 0;
        let mut tensors: Tensors<'_, Halves> = Tensors::new(graph, samples);
        tensors.lifetimes.large = large;
        let input = graph.inputs[0].tensor;
        let elements = graph.tensors[input].elements();
        let values = Sequence::new(5).values(samples * elements, -1.0, 1.0);
        let blocks = blocks(samples, block_samples(graph));
        let blocks = blocks.into_iter().map(|block| {
            Halves::new(&mut values[block.start * elements..block.end * elements].to_vec())
        });
        tensors.set(input, blocks.collect());
        let (mut read, mut made) = (Vec::new(), 0);
        let halves = |mut values: Vec<f32>| Halves::new(&mut values);
        for (at, node) in graph.nodes.iter().enumerate() {
            match at % 3 {
                0 => tensors.pass(node, halves).expect("runs"),
                1 => {
                    let all = tensors.run(node, <[f32]>::to_vec, halves).expect("runs");
                    read.push(all.concat());
                }
                _ => {
                    let double = |output: Halves| {
                        let mut values = Vec::new();
                        output.read(0..output.len(), &mut values);
                        values.iter_mut().for_each(|value| *value *= 1.5);
                        Halves::new(&mut values)
                    };
                    let mut all = Vec::new();
                    let then = |found: Vec<Vec<f32>>| {
                        all = found.concat();
                        double
                    };
                    tensors
                        .run_then(node, <[f32]>::to_vec, halves, then)
                        .expect("runs");
                    read.push(all);
                }
            }
            made += usize::from(matches!(tensors.values[node.output], Values::Made(_)));
            most = most.max(tensors.values.iter().map(elements_kept).sum());
            for range in [0..samples, 1..2, 7..samples - 1, 3..3] {
                read.push(tensors.read(node.output, range).expect("runs"));
            }
            let of =
                graph.tensors[node.output].elements() / 3..graph.tensors[node.output].elements();
            let found = tensors.read_elements(node.output, 7..samples - 1, of);
            read.push(found.expect("runs"));
            tensors.finish(node);
        }
        assert_eq!(most, most_kept(Lifetimes::new(graph, samples, large)));
        let is_left = |values: &&Values<'_, Halves>| match values {
            Values::Kept(store) => !store.0.is_empty(),
            Values::Made(_) => true,
        };
        let left = tensors.values.iter().filter(is_left).count();
        (read, made, left)
    }

    #[test]
    fn what_is_made_anew_is_what_would_have_been_kept() {
        let mut graph = default_model::graph(&ImportOptions::default()).expect("built in");
        passes::run(&passes::float_passes(&Recipe::default()), &mut graph).expect("folds");
        let samples = 19;
        let (kept, none, left) = walk(&graph, samples, usize::MAX);
        assert_eq!((none, left), (0, 0));
        let (made, some, left) = walk(&graph, samples, 0);
        assert!(some > 0, "no layer widens its input");
        assert_eq!(left, 0);
        assert!(kept == made);
    }
}
