//! BatchNorm folding: an affine function joins the layer before or after it.
//!
//! With `scale = gamma / sqrt(variance + epsilon)` and `shift = beta - mean * scale`:
//! a layer followed by BatchNorm becomes `W' = scale[out] * W`, `b' = scale * b + shift`;
//! a BatchNorm followed by a layer without padding becomes `W' = W * scale[in]`, `b' = b + sum W * shift[in]`
//! (padding feeds zeros behind the BatchNorm, which no bias can express).
//! A BatchNorm that remains between other operators becomes a 1x1 depthwise convolution.
//! Formulas: Jacob et al. 2018, section 3.2; Nagel et al., "Data-Free Quantization" (2019), section 3.1.
//! The statistics stay on the layer, for the passes that need the distribution of its outputs.

use super::{Pass, PassReport};
use crate::graph::{BatchNorm, Conv2d, Graph, GraphError, Linear, Node, NodeId, Op, Window};

/// Folds every BatchNorm, so that none is left.
#[derive(Clone, Copy, Debug)]
pub struct FoldBatchNorm {
    /// Whether they join the layers around them; else each becomes a 1x1 depthwise convolution.
    pub into_layers: bool,
}

impl Pass for FoldBatchNorm {
    fn name(&self) -> &'static str {
        "fold-batch-norm"
    }

    fn run(&self, graph: &mut Graph) -> Result<PassReport, GraphError> {
        let mut report = PassReport {
            pass: self.name(),
            changed: 0,
            notes: Vec::new(),
        };
        // Backward folds go first over the whole graph: they are always exact, and keep the statistics with the layer they describe.
        let folds = [fold_into_producer, fold_into_consumer, replace_by_depthwise];
        for fold in &folds[if self.into_layers { 0 } else { 2 }..] {
            let mut place = 0;
            while place < graph.nodes.len() {
                let id = NodeId::new(place);
                let is_norm = matches!(graph.nodes[id].op, Op::BatchNorm(_));
                let name = is_norm.then(|| graph.nodes[id].name.clone());
                if is_norm && fold(graph, id) {
                    report.changed += 1;
                    if let (Some(node), Some(name)) = (graph.nodes.get(id), name)
                        && node.name == name
                    {
                        let note = format!(
                            "`{name}` has no layer to join and became a 1x1 depthwise convolution"
                        );
                        report.notes.push(note);
                    }
                } else {
                    place += 1;
                }
            }
        }
        graph.compact();
        Ok(report)
    }
}

fn norm(node: &Node) -> Option<&BatchNorm> {
    match &node.op {
        Op::BatchNorm(norm) => Some(norm),
        _ => None,
    }
}

fn fold_into_producer(graph: &mut Graph, id: NodeId) -> bool {
    let input = graph.nodes[id].inputs[0];
    let Some(producer) = graph.producer(input) else {
        return false;
    };
    if graph.sole_consumer(input) != Some(id) || graph.nodes[producer].activation.is_some() {
        return false;
    }
    let Some(norm) = norm(&graph.nodes[id]).cloned() else {
        return false;
    };
    let Some(linear) = graph.nodes[producer].op.linear_mut() else {
        return false;
    };
    if norm.channels() != linear.out_channels {
        return false;
    }
    for (channel, row) in linear.rows_mut().enumerate() {
        let (scale, _) = norm.scale_and_shift(channel);
        row.iter_mut()
            .for_each(|weight| *weight = (f64::from(*weight) * scale) as f32);
    }
    for (channel, bias) in linear.bias.iter_mut().enumerate() {
        let (scale, shift) = norm.scale_and_shift(channel);
        *bias = (f64::from(*bias) * scale + shift) as f32;
    }
    linear.folded = match linear.folded.take() {
        Some(before) => Some(transformed(before, &norm)),
        None => norm.has_statistics().then_some(norm),
    };
    // The layer writes the BatchNorm's tensor from now on: a name keeps standing for the same values.
    graph.nodes[producer].output = graph.nodes[id].output;
    graph.nodes.remove(id);
    true
}

/// The statistics `before`, seen behind the affine function `norm`.
fn transformed(mut before: BatchNorm, norm: &BatchNorm) -> BatchNorm {
    for channel in 0..before.channels() {
        let (scale, shift) = norm.scale_and_shift(channel);
        before.gamma[channel] = (f64::from(before.gamma[channel]) * scale) as f32;
        before.beta[channel] = (f64::from(before.beta[channel]) * scale + shift) as f32;
    }
    before
}

fn fold_into_consumer(graph: &mut Graph, id: NodeId) -> bool {
    let Some(consumer) = graph.sole_consumer(graph.nodes[id].output) else {
        return false;
    };
    if graph.nodes[id].activation.is_some() {
        return false;
    }
    let Some(norm) = norm(&graph.nodes[id]).cloned() else {
        return false;
    };
    let affine: Vec<_> = (0..norm.channels())
        .map(|channel| norm.scale_and_shift(channel))
        .collect();
    // Input channel of every weight of a row, as a function of the row and the place in it.
    let (per_group, rows_per_group, padded) = match &graph.nodes[consumer].op {
        Op::Conv2d(conv) => (
            conv.in_channels / conv.groups,
            conv.linear.out_channels / conv.groups,
            conv.window.is_padded(),
        ),
        Op::FullyConnected(linear) => (norm.channels(), linear.out_channels, false),
        _ => return false,
    };
    if padded && affine.iter().any(|&(_, shift)| shift != 0.0) {
        return false;
    }
    let Some(linear) = graph.nodes[consumer].op.linear_mut() else {
        return false;
    };
    if linear.weights_per_channel() % per_group != 0 {
        return false;
    }
    let mut added = vec![0.0_f64; linear.out_channels];
    for (output, row) in linear.rows_mut().enumerate() {
        let first = output / rows_per_group * per_group;
        for (place, weight) in row.iter_mut().enumerate() {
            let (scale, shift) = affine[first + place % per_group];
            added[output] += f64::from(*weight) * shift;
            *weight = (f64::from(*weight) * scale) as f32;
        }
    }
    for (bias, added) in linear.bias.iter_mut().zip(added) {
        *bias = (f64::from(*bias) + added) as f32;
    }
    graph.bypass(id);
    true
}

fn replace_by_depthwise(graph: &mut Graph, id: NodeId) -> bool {
    let Some(norm) = norm(&graph.nodes[id]).cloned() else {
        return false;
    };
    let channels = norm.channels();
    let affine = (0..channels).map(|channel| norm.scale_and_shift(channel));
    let (weights, bias) = affine
        .map(|(scale, shift)| (scale as f32, shift as f32))
        .unzip();
    let conv = Op::Conv2d(Conv2d {
        linear: Linear {
            weights,
            bias,
            out_channels: channels,
            folded: norm.has_statistics().then_some(norm),
        },
        in_channels: channels,
        groups: channels,
        window: Window::new([1, 1]),
    });
    let node = graph.nodes[id].clone();
    let shape = graph.tensors[node.output].shape.clone();
    if shape.len() == 3 {
        graph.nodes[id].op = conv;
        return true;
    }
    // A convolution wants [h, w, c]: put reshapes around it.
    let image = vec![1, shape.iter().product::<usize>() / channels, channels];
    let mut reshaped = |suffix: &str| {
        let name = graph.unique_tensor_name(&format!("{}_{suffix}", node.name));
        graph.add_tensor(name, image.clone())
    };
    let (before, after) = (reshaped("image"), reshaped("scaled"));
    let reshape = |suffix: &str, input, output| Node {
        name: format!("{}_{suffix}", node.name),
        op: Op::Reshape,
        inputs: vec![input],
        output,
        activation: None,
    };
    let nodes = [
        reshape("to_image", node.inputs[0], before),
        Node {
            name: node.name.clone(),
            op: conv,
            inputs: vec![before],
            output: after,
            activation: node.activation,
        },
        reshape("from_image", after, node.output),
    ];
    graph.nodes.replace(id, nodes);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Executor;
    use crate::graph::TensorId;
    use crate::testing::{Sequence, assert_close, graph_of, push};

    fn random_norm(random: &mut Sequence, channels: usize) -> Op {
        Op::BatchNorm(BatchNorm {
            gamma: random.values(channels, 0.5, 2.0),
            beta: random.values(channels, -1.0, 1.0),
            mean: random.values(channels, -1.0, 1.0),
            variance: random.values(channels, 0.1, 3.0),
            epsilon: 1e-3,
        })
    }

    fn random_conv(
        random: &mut Sequence,
        inputs: usize,
        outputs: usize,
        groups: usize,
        padding: usize,
    ) -> Op {
        let mut window = Window::new([3, 3]);
        window.pad_before = [padding; 2];
        window.pad_after = [padding; 2];
        Op::Conv2d(Conv2d {
            linear: Linear {
                weights: random.values(outputs * 9 * inputs / groups, -0.5, 0.5),
                bias: random.values(outputs, -0.5, 0.5),
                out_channels: outputs,
                folded: None,
            },
            in_channels: inputs,
            groups,
            window,
        })
    }

    /// A chain of operators on a [6, 5, channels] input.
    fn chain(channels: usize, ops: Vec<Op>) -> Graph {
        let mut graph = graph_of(&[&[6, 5, channels]]);
        let mut tensor = TensorId::new(0);
        for op in ops {
            tensor = push(&mut graph, op, &[tensor], &[]);
        }
        graph
    }

    fn assert_preserved(graph: &Graph, expected_norms: usize, expected_nodes: usize) -> Graph {
        let input = Sequence::new(7).values(
            3 * graph.tensors[graph.inputs[0].tensor].elements(),
            -1.0,
            1.0,
        );
        let before = Executor::new(graph)
            .expect("valid")
            .forward(&input, 3)
            .expect("runs");
        let mut folded = graph.clone();
        let report = FoldBatchNorm { into_layers: true }
            .run(&mut folded)
            .expect("folds");
        assert_eq!(report.changed, expected_norms);
        assert_eq!(folded.nodes.len(), expected_nodes);
        let after = Executor::new(&folded)
            .expect("valid")
            .forward(&input, 3)
            .expect("runs");
        assert_close(&after, &before, 1e-5);
        folded
    }

    #[test]
    fn folds_backward_and_keeps_the_statistics() {
        let mut random = Sequence::new(1);
        let graph = chain(
            3,
            vec![
                random_conv(&mut random, 3, 4, 1, 1),
                random_norm(&mut random, 4),
            ],
        );
        let folded = assert_preserved(&graph, 1, 1);
        let linear = folded.nodes[NodeId::new(0)].op.linear().expect("a layer");
        assert_eq!(linear.folded.as_ref(), norm(&graph.nodes[NodeId::new(1)]));
    }

    #[test]
    fn folds_forward_only_without_padding() {
        let mut random = Sequence::new(2);
        for groups in [1, 2, 4] {
            let norm = random_norm(&mut random, 4);
            let open = random_conv(&mut random, 4, 8, groups, 0);
            assert_preserved(&chain(4, vec![norm.clone(), open]), 1, 1);
            let padded = random_conv(&mut random, 4, 8, groups, 1);
            assert_preserved(&chain(4, vec![norm, padded]), 1, 2);
        }
    }

    #[test]
    fn a_second_norm_transforms_the_first_ones_statistics() {
        let mut random = Sequence::new(3);
        let conv = random_conv(&mut random, 3, 4, 1, 1);
        let first = random_norm(&mut random, 4);
        let affine = Op::BatchNorm(BatchNorm::affine(vec![2.0; 4], vec![-1.0; 4]));
        let graph = chain(3, vec![conv, first, affine]);
        let folded = assert_preserved(&graph, 2, 1);
        let statistics = folded.nodes[NodeId::new(0)]
            .op
            .linear()
            .and_then(|linear| linear.folded.clone());
        let (statistics, original) = (
            statistics.expect("kept"),
            norm(&graph.nodes[NodeId::new(1)]).expect("a norm"),
        );
        assert_close(
            &statistics.gamma,
            &original.gamma.iter().map(|g| 2.0 * g).collect::<Vec<_>>(),
            1e-6,
        );
        assert_close(
            &statistics.beta,
            &original
                .beta
                .iter()
                .map(|b| 2.0 * b - 1.0)
                .collect::<Vec<_>>(),
            1e-6,
        );
    }

    #[test]
    fn an_affine_operator_alone_leaves_no_statistics() {
        let mut random = Sequence::new(4);
        let affine = Op::BatchNorm(BatchNorm::affine(vec![2.0; 4], vec![-1.0; 4]));
        let graph = chain(3, vec![random_conv(&mut random, 3, 4, 1, 1), affine]);
        let folded = assert_preserved(&graph, 1, 1);
        assert_eq!(
            folded.nodes[NodeId::new(0)]
                .op
                .linear()
                .expect("a layer")
                .folded,
            None
        );
    }

    #[test]
    fn a_norm_on_vectors_becomes_a_depthwise_convolution_between_reshapes() {
        let mut random = Sequence::new(5);
        let mut graph = chain(3, vec![random_norm(&mut random, 3)]);
        graph.tensors[TensorId::new(0)].shape = vec![7, 3];
        graph.tensors[TensorId::new(1)].shape = vec![7, 3];
        graph.inputs[0].source_shape = vec![7, 3];
        graph.inputs[0].source_axes = vec![0, 1];
        assert_preserved(&graph, 1, 3);
    }
}
