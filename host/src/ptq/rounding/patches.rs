//! Inputs of a layer's products, position by position.

use crate::graph::{Graph, Node, Op, TensorId, Window};
use std::ops::Range;

/// Positions of the inputs of a layer's products.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    /// Input `[h, w, c]`.
    input: [usize; 3],
    /// Output `[h, w]`.
    output: [usize; 2],
    window: Window,
    groups: usize,
}

impl Geometry {
    /// Of a convolution or fully connected layer; `None` for other nodes.
    pub fn of(graph: &Graph, node: &Node) -> Option<Geometry> {
        let shape = |tensor: TensorId| &graph.tensors[tensor].shape;
        match &node.op {
            Op::Conv2d(conv) => {
                let (&[h, w, c], &[out_h, out_w, _]) =
                    (&shape(node.inputs[0])[..], &shape(node.output)[..])
                else {
                    return None;
                };
                Some(Geometry {
                    input: [h, w, c],
                    output: [out_h, out_w],
                    window: conv.window,
                    groups: conv.groups,
                })
            }
            Op::FullyConnected(linear) => Some(Geometry::of_vector(linear.weights_per_channel())),
            _ => None,
        }
    }

    /// Groups of the convolution.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Products of one output: `K = kh * kw * in / groups`.
    pub fn products(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.per_group()
    }

    /// Output positions of one sample.
    pub fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Elements of one sample of the input.
    pub fn elements(&self) -> usize {
        self.input.iter().product()
    }

    /// Input channels of a group.
    pub fn per_group(&self) -> usize {
        self.input[2] / self.groups.max(1)
    }

    /// Of a layer whose products are the elements of a sample in their order: the one that has only those products.
    pub(super) fn narrowed(&self, products: &Range<usize>) -> Option<Geometry> {
        let pixels = self.input[0] * self.input[1];
        let is_whole = self.positions() == 1
            && self.groups == 1
            && self.taps() == pixels
            && (0..pixels).all(|tap| self.tap(0, tap, self.image()) == Some(tap));
        is_whole.then(|| Geometry::of_vector(products.len()))
    }

    /// Of a fully connected layer.
    fn of_vector(elements: usize) -> Geometry {
        Geometry {
            input: [1, 1, elements],
            output: [1, 1],
            window: Window::new([1, 1]),
            groups: 1,
        }
    }

    /// Writes what output `position` (over all samples) of `group` is made from into `patch`, `K` values in the weights' order; padding is 0.
    pub fn gather(&self, inputs: &[f32], position: usize, group: usize, patch: &mut [f32]) {
        let [h, w, channels] = self.input;
        let (sample, place) = (position / self.positions(), position % self.positions());
        let sample = &inputs[sample * self.elements()..][..self.elements()];
        let per_group = self.per_group();
        let taps = patch.chunks_exact_mut(per_group);
        for (tap, values) in taps.enumerate() {
            match self.tap(place, tap, [h, w]) {
                Some(pixel) => {
                    let first = pixel * channels + group * per_group;
                    values.copy_from_slice(&sample[first..][..per_group]);
                }
                None => values.fill(0.0),
            }
        }
    }

    /// The pixel of the input under a tap of the window at an output position; `None` in the padding.
    pub(super) fn tap(&self, place: usize, tap: usize, [h, w]: [usize; 2]) -> Option<usize> {
        let window = &self.window;
        let at = [place / self.output[1], place % self.output[1]];
        let tap = [tap / window.kernel[1], tap % window.kernel[1]];
        let axis = |axis: usize, size: usize| {
            let place = at[axis] * window.stride[axis] + tap[axis] * window.dilation[axis];
            place
                .checked_sub(window.pad_before[axis])
                .filter(|&place| place < size)
        };
        Some(axis(0, h)? * w + axis(1, w)?)
    }

    /// Height and width of the input.
    pub(super) fn image(&self) -> [usize; 2] {
        [self.input[0], self.input[1]]
    }

    /// Channels of the input.
    pub(super) fn channels(&self) -> usize {
        self.input[2]
    }

    /// Taps of the window.
    pub(super) fn taps(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1]
    }
}
