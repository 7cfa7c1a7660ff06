//! What quantization takes in memory, estimated before it begins.
//!
//! Samples to evaluate on are not in it. It is meant to lie above what a run takes; `docs/guide/quantization.md` has both, measured.

use crate::graph::{Graph, Node};
use crate::layerwise::kept_elements;
use crate::recipe::Recipe;
use crate::rounding::{Geometry, RoundingMethod, widest};

/// Networks that there are at a time: as given, folded, with quantized weights, and prepared to run.
const COPIES: usize = 8;

/// Bytes of a float.
const FLOAT: usize = size_of::<f32>();

/// Bytes of a value on the walk over the layers: in half precision and as an integer.
const KEPT: usize = 3;

/// Bytes of one pair of a layer's inputs: moments in double precision, what is made of them for the descent, and one block's sums.
const MOMENTS: usize = 5 * size_of::<f64>() + FLOAT;

/// Buffers of a thread: values of a walk backwards, blocks of samples on the way through a layer.
const BUFFERS: usize = 96 << 20;

/// What a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Estimate {
    /// Bytes whatever the samples are.
    fixed: usize,
    /// Bytes of so many samples as there are.
    samples: usize,
}

impl Estimate {
    fn of(graph: &Graph, samples: usize, recipe: &Recipe) -> Estimate {
        let threads = rayon::current_num_threads().max(1);
        let linears = graph.nodes.iter().filter_map(|node| node.op.linear());
        let weights: usize = linears.map(|linear| linear.weights.len()).sum();
        let rounding = |node| bytes_of_rounding(graph, node, samples, recipe);
        let rounding = graph.nodes.iter().map(rounding).max().unwrap_or(0);
        let sensitivities = (threads + 1) * weights * size_of::<f64>();
        let inputs = graph
            .inputs
            .iter()
            .map(|input| &graph.tensors[input.tensor]);
        let inputs: usize = inputs.map(|tensor| tensor.elements()).sum();
        Estimate {
            fixed: FLOAT * COPIES * weights + threads * BUFFERS + rounding.max(sensitivities),
            // As given and in an order of their own.
            samples: 2 * FLOAT * samples * inputs
                + KEPT * kept_elements(graph, samples)
                + batches(graph, samples, recipe),
        }
    }

    fn bytes(self) -> usize {
        self.fixed.saturating_add(self.samples)
    }
}

/// Bytes that the choice of a layer's integers takes.
fn bytes_of_rounding(graph: &Graph, node: &Node, samples: usize, recipe: &Recipe) -> usize {
    let Some(geometry) = Geometry::of(graph, node) else {
        return 0;
    };
    if recipe.layer(&node.name).rounding == RoundingMethod::Nearest {
        return 0;
    }
    let k = widest(geometry.products(), samples * geometry.positions());
    geometry.groups() * k * k * MOMENTS
}

/// Bytes of the samples that AdaRound on batches looks at: all inputs and outputs of a layer.
fn batches(graph: &Graph, samples: usize, recipe: &Recipe) -> usize {
    let of = |node: &Node| match recipe.layer(&node.name).rounding {
        RoundingMethod::AdaroundBatch if node.op.linear().is_some() => {
            let elements = |tensor: usize| graph.tensors[tensor].elements();
            FLOAT * samples * (elements(node.inputs[0]) + elements(node.output))
        }
        _ => 0,
    };
    graph.nodes.iter().map(of).max().unwrap_or(0)
}

/// Refuses what takes more than the recipe allows.
pub(super) fn check(graph: &Graph, samples: usize, recipe: &Recipe) -> Result<(), TooLarge> {
    let allowed = recipe.memory.saturating_mul(MEGABYTE);
    let estimate = Estimate::of(graph, samples, recipe);
    if estimate.bytes() <= allowed {
        return Ok(());
    }
    let fits = |samples: usize| Estimate::of(graph, samples, recipe).bytes() <= allowed;
    // The most that fit are between those that do and those that do not.
    let (mut few, mut many) = (0, samples);
    while few + 1 < many {
        let middle = few.midpoint(many);
        if fits(middle) {
            few = middle;
        } else {
            many = middle;
        }
    }
    Err(TooLarge {
        samples,
        needed: estimate.bytes().div_ceil(MEGABYTE),
        allowed: recipe.memory,
        fits: (few > 0).then_some(few),
    })
}

/// In bytes.
const MEGABYTE: usize = 1_000_000;

/// The network with its samples takes more memory than is allowed.
#[derive(Debug, thiserror::Error)]
#[error(
    "with {samples} samples this takes about {needed} MB of memory, and {allowed} MB are allowed; {less}allow more with --memory {needed}",
    less = fits.map_or_else(String::new, |samples| format!("take {samples} samples, or "))
)]
pub(super) struct TooLarge {
    samples: usize,
    needed: usize,
    allowed: usize,
    fits: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_model;
    use crate::import::ImportOptions;
    use crate::passes;

    fn digits() -> Graph {
        let mut graph = default_model::graph(&ImportOptions::default()).expect("built in");
        passes::run(&passes::float_passes(&Recipe::default()), &mut graph).expect("folds");
        graph
    }

    #[test]
    fn the_advice_of_a_refusal_is_taken() {
        let graph = digits();
        let mut recipe = Recipe::default();
        assert!(check(&graph, 512, &recipe).is_ok());
        let samples = 10_000_000;
        let refused = check(&graph, samples, &recipe).expect_err("too large");
        assert_eq!((refused.samples, refused.allowed), (samples, recipe.memory));
        let fewer = refused.fits.expect("some fit");
        assert!(fewer < samples && check(&graph, fewer, &recipe).is_ok());
        assert!(check(&graph, fewer + 1, &recipe).is_err());
        assert!(
            refused
                .to_string()
                .contains(&format!("take {fewer} samples"))
        );
        recipe.memory = refused.needed;
        assert!(check(&graph, samples, &recipe).is_ok());
        recipe.memory = refused.needed - 1;
        assert!(check(&graph, samples, &recipe).is_err());
    }

    #[test]
    fn a_network_that_is_too_large_by_itself_is_not_sent_to_fewer_samples() {
        let recipe = Recipe {
            memory: 1,
            ..Recipe::default()
        };
        let refused = check(&digits(), 100, &recipe).expect_err("too large");
        assert_eq!(refused.fits, None);
        assert!(!refused.to_string().contains("samples, or"), "{refused}");
    }

    #[test]
    fn batches_hold_the_samples_themselves() {
        let mut recipe = Recipe::default();
        let moments = Estimate::of(&digits(), 1000, &recipe);
        recipe.rounding.method = RoundingMethod::AdaroundBatch;
        let batches = Estimate::of(&digits(), 1000, &recipe);
        assert!(batches.bytes() > moments.bytes());
        recipe.rounding.method = RoundingMethod::Nearest;
        assert!(Estimate::of(&digits(), 1000, &recipe).bytes() <= moments.bytes());
    }
}
