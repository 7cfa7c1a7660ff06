//! Memory of quantization, estimated before it begins.
//!
//! Samples to evaluate on are not in it. Where the number of samples is known before they are read, what is too large is refused then. It is meant to lie above what a run takes; `docs/guide/quantization.md` has both, measured.

use super::evidence;
use crate::graph::{Graph, Node, TensorId};
use crate::ptq::layerwise::kept_elements;
use crate::ptq::passes;
use crate::ptq::rounding::{Geometry, widest};
use crate::recipe::Recipe;
use crate::recipe::RoundingMethod;
use crate::{Error, Stage};

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

/// Memory of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Estimate {
    /// Bytes that do not depend on the samples.
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
            let elements = |tensor: TensorId| graph.tensors[tensor].elements();
            FLOAT * samples * (elements(node.inputs[0]) + elements(node.output))
        }
        _ => 0,
    };
    graph.nodes.iter().map(of).max().unwrap_or(0)
}

/// Source of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    /// So many are given.
    Given(usize),
    /// They are made.
    Synthetic,
}

/// Refuses a float graph that takes more with so many samples than the recipe allows. [`quantize`](super::quantize) does as well; this does not need the samples.
///
/// # Errors
/// A graph that is too large, or that is not sound.
pub fn check_memory(float: &Graph, samples: usize, recipe: &Recipe) -> Result<(), Error> {
    let samples = Samples::Given(samples);
    // Folding only makes it smaller, and most networks are small.
    if check(float, samples, recipe).is_ok() {
        return Ok(());
    }
    let mut graph = float.clone();
    passes::run(&passes::float_passes(recipe), &mut graph)
        .map_err(|e| Error::new(Stage::Passes, e))?;
    let recipe = &*recipe.with_ends_of(&graph);
    check(&graph, samples, recipe).map_err(|e| Error::new(Stage::Memory, e))
}

/// Refuses what takes more than the recipe allows.
pub(super) fn check(graph: &Graph, from: Samples, recipe: &Recipe) -> Result<(), TooLarge> {
    let samples = match from {
        Samples::Given(samples) => samples,
        Samples::Synthetic => evidence::synthetic_samples(graph, recipe),
    };
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
        synthetic: from == Samples::Synthetic,
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
    "with {samples} {kind} this takes about {needed} MB of memory, and {allowed} MB are allowed; {less}allow more with --memory {needed}",
    kind = if *.synthetic { "synthetic samples, which are made where none are given," } else { "samples" },
    less = match (fits, synthetic) {
        (None, _) => String::new(),
        (Some(fits), false) => format!("take {fits} samples, or "),
        (Some(fits), true) => format!("set `samples = {fits}` in section [data-free] of the recipe, or "),
    }
)]
pub(super) struct TooLarge {
    samples: usize,
    synthetic: bool,
    needed: usize,
    allowed: usize,
    fits: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_model;
    use crate::import::ImportOptions;
    use crate::ptq::passes;

    fn digits() -> Graph {
        let mut graph = default_model::graph(&ImportOptions::default()).expect("built in");
        passes::run(&passes::float_passes(&Recipe::default()), &mut graph).expect("folds");
        graph
    }

    #[test]
    fn the_advice_of_a_refusal_is_taken() {
        let graph = digits();
        let mut recipe = Recipe::default();
        let check = |samples, recipe: &Recipe| check(&graph, Samples::Given(samples), recipe);
        assert!(check(512, &recipe).is_ok());
        let samples = 10_000_000;
        let refused = check(samples, &recipe).expect_err("too large");
        assert_eq!((refused.samples, refused.allowed), (samples, recipe.memory));
        let fewer = refused.fits.expect("some fit");
        assert!(fewer < samples && check(fewer, &recipe).is_ok());
        assert!(check(fewer + 1, &recipe).is_err());
        assert!(
            refused
                .to_string()
                .contains(&format!("take {fewer} samples"))
        );
        recipe.memory = refused.needed;
        assert!(check(samples, &recipe).is_ok());
        recipe.memory = refused.needed - 1;
        assert!(check(samples, &recipe).is_err());
    }

    #[test]
    fn nobody_is_told_of_samples_that_were_not_given() {
        let graph = digits();
        let mut recipe = Recipe::default();
        recipe.data_free.samples = 100_000;
        let needed = |recipe: &Recipe, samples| Estimate::of(&graph, samples, recipe).bytes();
        recipe.memory = needed(&recipe, 1000).div_ceil(MEGABYTE);
        let refused = check(&graph, Samples::Synthetic, &recipe).expect_err("too large");
        let fits = refused.fits.expect("some fit");
        let text = refused.to_string();
        assert!(
            text.contains("synthetic") && !text.contains("; take"),
            "{text}"
        );
        assert!(
            text.contains(&format!("`samples = {fits}` in section [data-free]")),
            "{text}"
        );
        recipe.data_free.samples = fits;
        assert!(check(&graph, Samples::Synthetic, &recipe).is_ok());
    }

    /// Before samples are read, what is refused then is refused in the same words.
    #[test]
    fn the_number_of_samples_is_enough_to_refuse() {
        let float = default_model::graph(&ImportOptions::default()).expect("built in");
        let mut recipe = Recipe::default();
        recipe.memory = Estimate::of(&digits(), 1000, &recipe).bytes() / MEGABYTE;
        let early = check_memory(&float, 1_000_000, &recipe).expect_err("too large");
        let late = check(&digits(), Samples::Given(1_000_000), &recipe).expect_err("too large");
        assert_eq!(early.to_string(), late.to_string());
        assert!(check_memory(&float, 1, &Recipe::default()).is_ok());
    }

    #[test]
    fn a_network_that_is_too_large_by_itself_is_not_sent_to_fewer_samples() {
        let recipe = Recipe {
            memory: 1,
            ..Recipe::default()
        };
        let refused = check(&digits(), Samples::Given(100), &recipe).expect_err("too large");
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
