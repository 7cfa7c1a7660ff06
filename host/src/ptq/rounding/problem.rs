//! A layer whose weights are to be rounded, and what becomes of it.

use super::gram::Moments;
use super::patches::Geometry;
use crate::graph::Activation;
use std::ops::Range;

/// A layer whose weights are to be rounded.
#[derive(Clone, Copy, Debug)]
pub struct LayerProblem<'a> {
    /// Float weights, rows of `k`, one per output channel.
    pub weights: &'a [f32],
    /// Output channels.
    pub out_channels: usize,
    /// Products of one output.
    pub k: usize,
    /// Largest integer weight; the smallest is its negative.
    pub max: i8,
    /// Whether each row may have a scale of its own.
    pub per_channel: bool,
    /// The scale of each row that its range gives.
    pub scales: &'a [f64],
    /// Scales must not fall below these.
    pub least_scales: &'a [f64],
}

/// Source of batches.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Inputs of the layer in the quantized network, sample after sample.
    pub input: &'a [f32],
    /// Outputs of the float layer before its activation, likewise.
    pub output: &'a [f32],
    /// The layer's bias.
    pub bias: &'a [f32],
    /// Activation after the layer, if the loss includes it.
    pub activation: Option<&'a Activation>,
}

/// Data about a layer's inputs.
#[derive(Clone, Copy)]
pub struct LayerData<'a> {
    /// Geometry of the layer's windows in its inputs.
    pub geometry: &'a Geometry,
    /// Positions of all samples together.
    pub positions: usize,
    /// Moments of some of the products of an output, one per group.
    pub moments: &'a dyn Fn(Range<usize>) -> Vec<Moments>,
    /// The samples themselves.
    pub samples: Samples<'a>,
    /// Seed of the batches.
    pub seed: u64,
}

/// Scales with which a layer is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// Those that its weights' ranges give.
    Given,
    /// Those that lose least, searched together with the integers.
    Searched,
}

/// Integers for a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    /// Integer weights in the order of the float ones.
    pub values: Vec<i8>,
    /// Scale of each row.
    pub scales: Vec<f64>,
    /// Quadratic loss of rounding to nearest with the scales given, up to a constant.
    pub cost_nearest: f64,
    /// Quadratic loss of the result, up to the same constant.
    pub cost: f64,
}

/// Told the iteration and the loss now and then.
pub type Watch<'w> = dyn FnMut(usize, f64) + 'w;
