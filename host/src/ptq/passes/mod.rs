//! Rewrites of the float graph, in one ordered list.
//!
//! A pass leaves the graph valid and says what it did; passes that only restate the network (folding, fusing) preserve its float
//! function up to rounding, and the tests hold them to it.
//! The order in [`PASSES`] is the order of a recipe's run. Equalization for the least noise measures as it goes and is not a [`Pass`]: it runs
//! between those of the two values of [`When`] (`ptq::run`).

mod absorb_high_bias;
mod equalize;
mod fold_batch_norm;
mod fold_constant_channels;
mod fuse_activations;
mod pass;

pub use absorb_high_bias::AbsorbHighBias;
pub(crate) use equalize::{ChannelRanges, divide, least_noise};
pub use equalize::{Class, Classes, CrossLayerEqualization, Sums, Weighting, equalize};
pub use fold_batch_norm::FoldBatchNorm;
pub use fold_constant_channels::FoldConstantChannels;
pub use fuse_activations::FuseActivations;
pub use pass::{Pass, PassReport};

use crate::graph::{Graph, GraphError};
use crate::range::Range;
use crate::recipe::{Equalize, Recipe};

/// When a pass runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// On the graph as it was imported, before anything is known of its activations but what its inputs may be.
    Imported,
    /// After equalization for the least noise ([`Equalize::Full`]), which needs samples and is not a [`Pass`].
    Equalized,
}

/// Makes a pass of a recipe and the ranges of the inputs.
type Make = fn(&Recipe, &[Range]) -> Option<Box<dyn Pass>>;

/// An entry of [`PASSES`].
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Name as in recipes and reports.
    pub name: &'static str,
    /// When it runs.
    pub when: When,
    /// The pass as a recipe wants it, given the range of every network input or nothing; `None` where a recipe leaves it out.
    make: Make,
}

/// All passes, in the order in which they run.
pub const PASSES: [Entry; 5] = [
    Entry {
        name: "fold-batch-norm",
        when: When::Imported,
        make: |recipe, _| {
            Some(Box::new(FoldBatchNorm {
                into_layers: recipe.passes.fold_batch_norm,
            }))
        },
    },
    Entry {
        name: "fuse-activations",
        when: When::Imported,
        make: |_, _| Some(Box::new(FuseActivations)),
    },
    Entry {
        name: "fold-constant-channels",
        when: When::Imported,
        make: |_, inputs| {
            Some(Box::new(FoldConstantChannels {
                inputs: inputs.to_vec(),
            }))
        },
    },
    Entry {
        name: "equalize",
        when: When::Imported,
        make: |recipe, _| {
            let aimet_compatible = match recipe.passes.equalize {
                Equalize::AimetCompatible => true,
                Equalize::Weights => false,
                Equalize::Off | Equalize::Full => return None,
            };
            Some(Box::new(CrossLayerEqualization { aimet_compatible }))
        },
    },
    Entry {
        name: "absorb-high-bias",
        when: When::Equalized,
        make: |recipe, _| match recipe.passes.absorb_high_bias {
            true => Some(Box::new(AbsorbHighBias)),
            false => None,
        },
    },
];

/// The passes of [`PASSES`] that a recipe runs then, in order; `inputs` has the range of every network input, or nothing.
pub fn passes_of(recipe: &Recipe, when: When, inputs: &[Range]) -> Vec<Box<dyn Pass>> {
    let entries = PASSES.iter().filter(|entry| entry.when == when);
    entries
        .filter_map(|entry| (entry.make)(recipe, inputs))
        .collect()
}

/// The passes that a recipe runs before calibration, in order, with no more known of the network's input than the recipe tells.
pub fn float_passes(recipe: &Recipe) -> Vec<Box<dyn Pass>> {
    let inputs: Vec<Range> = recipe.input.real_range().into_iter().collect();
    passes_of(recipe, When::Imported, &inputs)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_names_of_their_passes() {
        let mut recipe = Recipe::default();
        recipe.passes.absorb_high_bias = true;
        recipe.passes.equalize = Equalize::Weights;
        for entry in PASSES {
            let pass = (entry.make)(&recipe, &[]).expect("asked for");
            assert_eq!(pass.name(), entry.name);
        }
    }
}
