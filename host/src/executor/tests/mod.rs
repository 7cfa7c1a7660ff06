//! Every operator against plain loops, and what runs promise.
//!
//! The same bits whatever threads, hooks and chunks.

use crate::dataset::Dataset;
use crate::graph::{Activation, BatchNorm, Conv2d, Graph, Linear, Node, Op, Window};
use crate::testing::{graph_of, push};

use super::*;

mod elementwise;
mod errors;
mod layers;
mod layout;
mod runs;

/// Values in -1..1.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    Dataset::uniform_noise(1, len, -1.0, 1.0, seed).inputs
}

fn single(op: Op, inputs: &[&[usize]], shape: &[usize]) -> Graph {
    let mut graph = graph_of(inputs);
    let ids: Vec<_> = (0..inputs.len()).map(TensorId::new).collect();
    push(&mut graph, op, &ids, shape);
    graph
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let tolerance = 2e-5 * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= tolerance,
            "element {index}: found {found}, expected {expected}"
        );
    }
}

fn window(
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pads: [usize; 4],
) -> Window {
    Window {
        kernel,
        stride,
        dilation,
        pad_before: [pads[0], pads[1]],
        pad_after: [pads[2], pads[3]],
    }
}

fn conv(ins: usize, outs: usize, groups: usize, window: Window) -> Conv2d {
    let len = outs * window.kernel[0] * window.kernel[1] * ins / groups;
    Conv2d {
        linear: Linear {
            weights: noise(len, 1),
            bias: noise(outs, 2),
            out_channels: outs,
            folded: None,
        },
        in_channels: ins,
        groups,
        window,
    }
}
