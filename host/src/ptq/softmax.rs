//! The scales of softmaxes: 1/256, or finer ones where outputs stay small.
//!
//! Over many classes no output may come near 1, and steps of 1/256 leave little of them. What is above the range of a finer scale
//! saturates, so that it is taken only where the scales that all other calibration samples ask for serve each of them better.

use super::evidence::Calibration;
use crate::dataset::Dataset;
use crate::executor::Executor;
use crate::graph::{Graph, Op, TensorId};
use crate::metrics::Sqnr;
use crate::ptq::calibrate::CalibrationError;
use crate::quantize::{Encoding, Encodings};
use crate::range::{Range, Ranges};
use crate::{Error, Stage};

/// Ratio by which other outputs may exceed those of the calibration samples before they saturate.
const HEADROOM: f32 = 2.0;

/// Samples run at once.
const BLOCK: usize = 64;

/// Steps that the largest output should have: fewer tell less than 4 bits of it.
const COARSE: f32 = 16.0;

fn outputs(graph: &Graph) -> Vec<TensorId> {
    let softmaxes = (graph.nodes.iter()).filter(|node| matches!(node.op, Op::Softmax));
    softmaxes.map(|node| node.output).collect()
}

/// The output of every softmax, and the largest value that its encoding should reach: 1 without samples, and where they do not call for less.
pub(super) fn largest_outputs(
    graph: &Graph,
    calibration: Calibration<'_>,
    ranges: &Ranges,
) -> Result<Vec<(TensorId, f32)>, Error> {
    let mut largest: Vec<_> = outputs(graph).iter().map(|&tensor| (tensor, 1.0)).collect();
    let Calibration::Samples(samples) = calibration else {
        return Ok(largest);
    };
    let is_small = |max: f32| HEADROOM * max < 0.5;
    for (tensor, largest) in &mut largest {
        if !is_small(ranges.of(*tensor).max) {
            continue;
        }
        let [max, second] = two_largest(graph, *tensor, samples)?;
        if second > 0.0 && is_small(max) {
            let [fixed, finer] = sqnr_of_left_out(graph, *tensor, samples, [max, second])?;
            if finer > fixed {
                *largest = HEADROOM * max;
            }
        }
    }
    Ok(largest)
}

/// Shows every sample's values of a tensor, and the largest of them.
fn each_sample(
    graph: &Graph,
    wanted: TensorId,
    samples: &Dataset,
    mut each: impl FnMut(&[f32], f32),
) -> Result<(), Error> {
    let executor = Executor::new(graph)
        .map_err(|e| Error::new(Stage::Calibrate, CalibrationError::from(e)))?;
    let elements = graph.tensors[wanted].elements();
    for block in samples.inputs.chunks(BLOCK * samples.elements()) {
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            if tensor == wanted {
                for values in values.chunks_exact(elements) {
                    each(values, values.iter().copied().fold(0.0, f32::max));
                }
            }
        };
        let count = block.len() / samples.elements();
        executor
            .run(block, count, &mut hook)
            .map_err(|e| Error::new(Stage::Calibrate, CalibrationError::from(e)))?;
    }
    Ok(())
}

/// The largest value of all samples, and the largest of all others; 0 without another.
fn two_largest(graph: &Graph, tensor: TensorId, samples: &Dataset) -> Result<[f32; 2], Error> {
    let mut found = [0.0_f32; 2];
    each_sample(graph, tensor, samples, |_, max| {
        if max > found[0] {
            found = [max, found[0]];
        } else {
            found[1] = found[1].max(max);
        }
    })?;
    Ok(found)
}

/// Signal to noise, in decibels, with the fixed scale, and where each sample gets the scale that all others ask for.
fn sqnr_of_left_out(
    graph: &Graph,
    tensor: TensorId,
    samples: &Dataset,
    [largest, second]: [f32; 2],
) -> Result<[f64; 2], Error> {
    let [usual, without] = [largest, second].map(|max| Encoding::softmax(HEADROOM * max));
    let mut sqnr = [Sqnr::default(), Sqnr::default()];
    each_sample(graph, tensor, samples, |values, max| {
        let finer = if max == largest { without } else { usual };
        for (sqnr, encoding) in sqnr.iter_mut().zip([Encoding::SOFTMAX, finer]) {
            let rounded = values.iter().map(|&value| encoding.fake_quantize(value));
            sqnr.add(values, &rounded.collect::<Vec<_>>());
        }
    })?;
    // No noise at all is as good as can be.
    Ok(sqnr.map(|sqnr| sqnr.db().unwrap_or(f64::INFINITY)))
}

/// Softmaxes that got a finer scale, and those of whose outputs little is left.
pub(super) fn notes(graph: &Graph, observed: &Ranges, encodings: &Encodings) -> Vec<String> {
    let softmaxes = (graph.nodes.iter()).filter(|node| matches!(node.op, Op::Softmax));
    let note = |node: &crate::graph::Node| {
        let Range { max, .. } = observed.of(node.output);
        let encoding = encodings.of(node.output);
        let steps = encoding.softmax_steps();
        if encoding != Encoding::SOFTMAX {
            return Some(format!(
                "softmax `{}` has {steps} steps from 0 to 1, as outputs of the calibration samples stay below half of {largest:.4}: what is above that saturates",
                node.name,
                largest = encoding.bits.steps() as f32 * encoding.scale
            ));
        }
        (max < COARSE * encoding.scale).then(|| {
            let input = node.inputs[0];
            // A network cannot end with what it begins with.
            let or_without = match graph.inputs.iter().any(|start| start.tensor == input) {
                true => String::new(),
                false => format!(
                    ", or take its input as the output with --output-tensor {}",
                    graph.tensors[input].name
                ),
            };
            format!(
                "outputs of softmax `{}` stay below {max:.4}, {:.1} steps of 1/{steps}: little is left of them; calibrate with samples{or_without}",
                node.name,
                max / encoding.scale,
            )
        })
    };
    softmaxes.filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Activation;
    use crate::pipeline::quantize;
    use crate::progress::Silent;
    use crate::recipe::Recipe;
    use crate::testing::{graph_of, push};

    #[test]
    fn what_a_softmax_reads_is_advised_as_output_unless_it_is_the_input() {
        let range = Range {
            min: -1.0,
            max: 1.0,
        };
        for first in [true, false] {
            let mut graph = graph_of(&[&[500]]);
            let read = match first {
                true => graph.inputs[0].tensor,
                false => {
                    let input = graph.inputs[0].tensor;
                    push(&mut graph, Op::Activation(Activation::Tanh), &[input], &[])
                }
            };
            push(&mut graph, Op::Softmax, &[read], &[]);
            let calibration = Calibration::Statistics(std::slice::from_ref(&range));
            let found = quantize(&graph, calibration, &Recipe::default(), &mut Silent)
                .expect("is quantized");
            let mut notes = found.notes.iter();
            let note = notes.find(|note| note.contains("little is left"));
            let note = note.expect("a note");
            let advice = format!("--output-tensor {}", graph.tensors[read].name);
            assert_eq!(note.ends_with(&advice), !first, "{note}");
            assert!(note.contains("calibrate with samples"), "{note}");
        }
    }
}
