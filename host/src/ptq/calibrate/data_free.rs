//! Ranges without data, from what the BatchNorms recorded.

use super::error::CalibrationError;
use crate::graph::Graph;
use crate::ptq::statistics::{Interval, channels};
use crate::range::{Range, Ranges};

/// The range of every tensor of a folded and fused graph: `beta - n |gamma|` to `beta + n |gamma|` over all channels, through the fused activation.
///
/// Tensors without statistics follow from the tensors before them (see [`crate::ptq::statistics::propagate`]); no range is wider than what
/// interval arithmetic allows. Inputs of a layer without statistics are taken as independent: where they rise and fall together, as before
/// the last layer of a classifier, its outputs reach further than is found here. `inputs` has the range of every network input, in the graph's order.
///
/// # Errors
/// Ranges that do not fit the inputs, an `n` that is not above 0, and weights or statistics that are not finite.
pub fn ranges_from_statistics(
    graph: &Graph,
    inputs: &[Range],
    n: f32,
) -> Result<Ranges, CalibrationError> {
    if !(n > 0.0 && n.is_finite()) {
        return Err(CalibrationError::Deviations { found: n });
    }
    let tensors = channels(graph, inputs, f64::from(n))?;
    let range = |likely: Interval| Range {
        min: likely.low as f32,
        max: likely.high as f32,
    };
    let ranges = tensors.iter().map(|tensor| {
        let all = tensor.iter().map(|channel| range(channel.likely));
        // A tensor that nothing writes has no channels, and nobody asks for its range.
        all.reduce(Range::union)
            .unwrap_or(Range { min: 0.0, max: 0.0 })
    });
    Ok(Ranges::new(ranges.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::InputLayout;
    use crate::default_model;
    use crate::import::ImportOptions;
    use crate::progress::Silent;
    use crate::ptq::calibrate::observe;
    use crate::ptq::passes;
    use crate::range::RangeOptions;
    use crate::recipe::Recipe;

    fn digits() -> Graph {
        let mut graph = default_model::graph(&ImportOptions::default()).expect("imports");
        passes::run(&passes::float_passes(&Recipe::default()), &mut graph).expect("folds");
        graph
    }

    const UNIT: Range = Range { min: 0.0, max: 1.0 };

    #[test]
    fn bad_questions_are_refused() {
        let graph = digits();
        for n in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            ranges_from_statistics(&graph, &[UNIT], n).expect_err("no such number");
        }
        ranges_from_statistics(&graph, &[], 6.0).expect_err("no range");
        let wrong = Range { min: 1.0, max: 0.0 };
        ranges_from_statistics(&graph, &[wrong], 6.0).expect_err("the wrong way round");
    }

    /// The digits network against what 512 samples show. Depthwise layers have tails beyond six deviations, so that some ranges are
    /// narrower (5 of 24, the worst 0.55 times as wide); none is absurdly wide.
    #[test]
    fn statistics_come_close_to_what_samples_show() {
        let graph = digits();
        let recipe = default_model::recipe().expect("is there");
        let layout = InputLayout::of(&graph).expect("one input");
        let samples = default_model::calibration(&layout, &recipe.input).expect("loads");
        let seen = observe(&graph, &samples, RangeOptions::default(), &mut Silent).expect("runs");
        let input = seen.of(graph.inputs[0].tensor);
        let found = ranges_from_statistics(&graph, &[input], 6.0).expect("known");
        let mut widths = Vec::new();
        for (id, tensor) in graph.tensors.enumerate() {
            let (seen, found) = (seen.of(id), found.of(id));
            let width = |range: Range| range.max.max(0.0) - range.min.min(0.0);
            let ratio = width(found) / width(seen);
            assert!((0.5..5.0).contains(&ratio), "{}: {ratio}", tensor.name);
            widths.push(ratio);
        }
        let narrow = widths.iter().filter(|&&ratio| ratio < 1.0).count();
        assert!(4 * narrow <= widths.len(), "{narrow}");
        widths.sort_by(f32::total_cmp);
        let median = widths[widths.len() / 2];
        assert!((1.0..1.5).contains(&median), "{median}");
    }
}
