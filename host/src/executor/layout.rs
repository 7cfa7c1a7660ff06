//! Operators that move elements or combine them without a window.
//!
//! Binary operators and softmax are here too.

use crate::graph::Op;

use super::epilogue::Epilogue;
use super::tiles;

/// Function of a binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Add,
    Sub,
    Mul,
    Max,
    Min,
}

/// Pairing of the second operand's elements with those of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broadcast {
    /// Element with element.
    Same,
    /// One element per channel.
    Channel,
    /// One element per sample.
    Scalar,
}

/// Sum, difference, product, maximum or minimum of two tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binary {
    function: Function,
    pub(super) broadcast: Broadcast,
    /// Elements of the first operand in a sample, and of its last axis.
    elements: usize,
    channels: usize,
}

impl Binary {
    /// From an operator that is one of these and the shapes of its operands; `None` for any other operator.
    pub(super) fn new(op: &Op, a: &[usize], b: &[usize]) -> Option<Self> {
        let function = match op {
            Op::Add => Function::Add,
            Op::Sub => Function::Sub,
            Op::Mul => Function::Mul,
            Op::Max => Function::Max,
            Op::Min => Function::Min,
            _ => return None,
        };
        let broadcast = if a == b {
            Broadcast::Same
        } else if b.iter().product::<usize>() == 1 {
            Broadcast::Scalar
        } else {
            Broadcast::Channel
        };
        Some(Binary {
            function,
            broadcast,
            elements: a.iter().product(),
            channels: a.last().copied().unwrap_or(1),
        })
    }

    pub(super) fn is_commutative(self) -> bool {
        self.function != Function::Sub
    }

    /// `values` holds the first operand and receives the result.
    pub(super) fn run(self, values: &mut [f32], other: &[f32], epilogue: &Epilogue) {
        match self.function {
            Function::Add => self.combine(values, other, epilogue, |a, b| a + b),
            Function::Sub => self.combine(values, other, epilogue, |a, b| a - b),
            Function::Mul => self.combine(values, other, epilogue, |a, b| a * b),
            // Not `f32::max`: of -0 and 0 it may return either.
            Function::Max => {
                self.combine(values, other, epilogue, |a, b| if b > a { b } else { a });
            }
            Function::Min => {
                self.combine(values, other, epilogue, |a, b| if b < a { b } else { a });
            }
        }
    }

    fn combine(
        self,
        values: &mut [f32],
        other: &[f32],
        epilogue: &Epilogue,
        function: impl Fn(f32, f32) -> f32 + Sync,
    ) {
        let (elements, channels) = (self.elements, self.channels);
        tiles::for_each_rows(values, channels, &|first, rows| {
            match self.broadcast {
                Broadcast::Same => {
                    for (a, &b) in rows.iter_mut().zip(&other[first..]) {
                        *a = function(*a, b);
                    }
                }
                // A tile may span samples, each with operands of its own.
                Broadcast::Channel => {
                    for (index, row) in rows.chunks_exact_mut(channels).enumerate() {
                        let sample = (first + index * channels) / elements;
                        for (a, &b) in row.iter_mut().zip(&other[sample * channels..]) {
                            *a = function(*a, b);
                        }
                    }
                }
                Broadcast::Scalar => {
                    for (index, row) in rows.chunks_exact_mut(channels).enumerate() {
                        let b = other[(first + index * channels) / elements];
                        row.iter_mut().for_each(|a| *a = function(*a, b));
                    }
                }
            }
            epilogue.apply(rows, 0, channels);
        });
    }
}

/// Softmax of every row of `channels`: the largest element is subtracted first, so no exponential overflows.
pub(super) fn softmax(values: &mut [f32], channels: usize) {
    tiles::for_each_rows(values, channels, &|_, rows| {
        for row in rows.chunks_exact_mut(channels) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for x in row.iter_mut() {
                *x = libm::expf(*x - max);
                sum += *x;
            }
            row.iter_mut().for_each(|x| *x /= sum);
        }
    });
}

/// Strides of a tensor without gaps.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// A permutation of axes, and as data loading uses it: output axis `i` is input axis `perm[i]`.
#[derive(Clone, Debug)]
pub(crate) struct Transpose {
    /// Output shape with the input stride of each axis, outermost first.
    axes: Vec<(usize, usize)>,
    elements: usize,
}

impl Transpose {
    /// `perm` is a permutation of the axes of `input`.
    pub(crate) fn new(input: &[usize], perm: &[usize]) -> Self {
        let strides = strides(input);
        Transpose {
            axes: perm
                .iter()
                .map(|&axis| (input[axis], strides[axis]))
                .collect(),
            elements: input.iter().product(),
        }
    }

    /// Permutes every sample of `input` into `output`.
    pub(crate) fn run(&self, input: &[f32], output: &mut [f32]) {
        let cost = output.len();
        tiles::for_each(
            output,
            self.elements,
            self.elements,
            cost,
            &|sample, _, out| {
                let input = &input[sample * self.elements..][..self.elements];
                let (outer, (inner_len, inner_stride)) = match self.axes.split_last() {
                    Some((&inner, outer)) => (outer, inner),
                    None => (&[][..], (1, 1)),
                };
                let mut index = vec![0; outer.len()];
                let mut at = 0;
                for row in out.chunks_exact_mut(inner_len) {
                    for (i, x) in row.iter_mut().enumerate() {
                        *x = input[at + i * inner_stride];
                    }
                    // Counts `index` up like an odometer, `at` with it.
                    for (digit, &(len, stride)) in index.iter_mut().zip(outer).rev() {
                        *digit += 1;
                        at += stride;
                        if *digit < len {
                            break;
                        }
                        at -= len * stride;
                        *digit = 0;
                    }
                }
            },
        );
    }
}

/// Tensors joined along an axis.
#[derive(Clone, Debug)]
pub(super) struct Concat {
    /// Elements from the axis inwards that each input contributes.
    blocks: Vec<usize>,
}

impl Concat {
    pub(super) fn new<'a>(shapes: impl Iterator<Item = &'a [usize]>, axis: usize) -> Self {
        Concat {
            blocks: shapes.map(|shape| shape[axis..].iter().product()).collect(),
        }
    }

    /// Axes before the join, and samples, are all the same to it.
    pub(super) fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
        let total = self.blocks.iter().sum::<usize>();
        tiles::for_each_rows(output, total, &|first, rows| {
            for (index, mut row) in rows.chunks_exact_mut(total).enumerate() {
                let outer = first / total + index;
                for (input, &block) in inputs.iter().zip(&self.blocks) {
                    let (part, rest) = row.split_at_mut(block);
                    part.copy_from_slice(&input[outer * block..][..block]);
                    row = rest;
                }
            }
        });
    }
}

/// A constant border.
#[derive(Clone, Debug)]
pub(super) struct Pad {
    input: Vec<usize>,
    before: Vec<usize>,
    output: Vec<usize>,
    value: f32,
}

impl Pad {
    pub(super) fn new(input: &[usize], before: &[usize], output: &[usize], value: f32) -> Self {
        Pad {
            input: input.to_vec(),
            before: before.to_vec(),
            output: output.to_vec(),
            value,
        }
    }

    pub(super) fn run(&self, input: &[f32], output: &mut [f32]) {
        output.fill(self.value);
        let in_elements: usize = self.input.iter().product();
        let out_elements: usize = self.output.iter().product();
        let cost = output.len();
        tiles::for_each(
            output,
            out_elements,
            out_elements,
            cost,
            &|sample, _, out| {
                let input = &input[sample * in_elements..][..in_elements];
                self.copy(0, input, out);
            },
        );
    }

    /// Copies the part of one sample from `axis` inwards.
    fn copy(&self, axis: usize, input: &[f32], output: &mut [f32]) {
        if axis == self.input.len() {
            output.copy_from_slice(input);
            return;
        }
        let inner = self.input[axis + 1..].iter().product::<usize>();
        let out_inner = self.output[axis + 1..].iter().product::<usize>();
        let inside = output.chunks_exact_mut(out_inner).skip(self.before[axis]);
        for (output, input) in inside.zip(input.chunks_exact(inner)) {
            self.copy(axis + 1, input, output);
        }
    }
}
