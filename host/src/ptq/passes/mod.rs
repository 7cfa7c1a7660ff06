//! Rewrites of the float graph, in one ordered list.
//!
//! A pass leaves the graph valid and says what it did; passes that only restate the network (folding, fusing) preserve its float
//! function up to rounding, and the tests hold them to it.
//! The order in [`float_passes`] is the order of a recipe's run.

mod absorb_high_bias;
mod equalize;
mod fold_batch_norm;
mod fold_constant_channels;
mod fuse_activations;

pub use absorb_high_bias::AbsorbHighBias;
pub(crate) use equalize::{ChannelRanges, divide, least_noise};
pub use equalize::{Class, Classes, CrossLayerEqualization, Weighting, equalize};
pub use fold_batch_norm::FoldBatchNorm;
pub use fold_constant_channels::FoldConstantChannels;
pub use fuse_activations::FuseActivations;

use crate::graph::{Graph, GraphError};
use crate::range::Range;
use crate::recipe::{Equalize, Recipe};
use serde::Serialize;

/// A rewrite of the graph.
pub trait Pass {
    /// Name as in recipes and reports.
    fn name(&self) -> &'static str;

    /// Rewrites `graph` in place.
    ///
    /// # Errors
    /// Where a node cannot be rewritten although it has to be.
    fn run(&self, graph: &mut Graph) -> Result<PassReport, GraphError>;
}

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// Name of the pass.
    pub pass: &'static str,
    /// Nodes that it changed or removed.
    pub changed: usize,
    /// What a user should know, one sentence each.
    pub notes: Vec<String>,
}

/// The passes that a recipe runs before calibration, in order, with no more known of the network's input than the recipe tells.
pub fn float_passes(recipe: &Recipe) -> Vec<Box<dyn Pass>> {
    float_passes_within(recipe, recipe.input.real_range().into_iter().collect())
}

/// The passes that a recipe runs before calibration, in order; `inputs` has the range of every network input, or nothing.
pub fn float_passes_within(recipe: &Recipe, inputs: Vec<Range>) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = vec![
        Box::new(FoldBatchNorm {
            into_layers: recipe.passes.fold_batch_norm,
        }),
        Box::new(FuseActivations),
        Box::new(FoldConstantChannels { inputs }),
    ];
    let aimet_compatible = recipe.passes.equalize == Equalize::AimetCompatible;
    if aimet_compatible || recipe.passes.equalize == Equalize::Weights {
        passes.push(Box::new(CrossLayerEqualization { aimet_compatible }));
    }
    passes
}

/// Runs `passes` in order and checks the graph after each.
///
/// # Errors
/// The first pass that fails.
pub fn run(passes: &[Box<dyn Pass>], graph: &mut Graph) -> Result<Vec<PassReport>, GraphError> {
    let mut reports = Vec::with_capacity(passes.len());
    for pass in passes {
        reports.push(pass.run(graph)?);
        graph.validate()?;
    }
    Ok(reports)
}
