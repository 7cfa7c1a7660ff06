//! Signs that samples are not what the network was trained on.

use crate::dataset::Dataset;
use crate::executor::Executor;
use crate::graph::{BatchNorm, Graph, NodeId, Op, TensorId};
use crate::{Error, Stage};

/// Number of samples that are examined: images give thousands of values each, and vectors enough for the spread to an eighth.
const SAMPLES: usize = 32;

/// Ratio of the values' spread to the recorded one, or its inverse, that is a doubt. Forgotten divisors, means and deviations give 50 and more for
/// bytes; other data of the same kind, a quarter of the samples or another crop stay below 2.
const SPREAD: f64 = 4.0;

/// Smallest number of a channel's values for which a spread is computed.
const FEWEST_VALUES: usize = 8;

/// Doubts about calibration samples, in sentences that name the flag which is probably missing; empty if there are none.
///
/// # Errors
/// If the samples do not match the network.
pub fn doubtful_samples(float: &Graph, samples: &Dataset) -> Result<Vec<String>, Error> {
    let elements = samples.elements();
    let mut each = samples.inputs.chunks_exact(elements);
    let first = each.next().unwrap_or_default();
    let is_flat = |sample: &[f32]| sample.iter().all(|&value| value == sample[0]);
    if elements > 1 && samples.inputs.chunks_exact(elements).all(is_flat) {
        let value = first.first().copied().unwrap_or_default();
        let what = if samples.inputs.iter().all(|&other| other == value) {
            format!("all values of the calibration samples are {value}")
        } else {
            "each calibration sample is one value all over".to_owned()
        };
        return Ok(vec![format!(
            "{what} after --input-divisor, --input-mean and --input-std, so that ranges mean nothing; \
             check the array (--calibration FILE:ARRAY) and these flags"
        )]);
    }
    if samples.samples > 1 && each.all(|sample| sample == first) {
        return Ok(vec![format!(
            "all {} calibration samples are equal, so that ranges hold for this one input; check the array and the samples of --calibration",
            samples.samples
        )]);
    }
    Ok(against_statistics(float, samples)?.into_iter().collect())
}

/// Compares what the first BatchNorm with statistics reads with what it recorded in training.
fn against_statistics(float: &Graph, samples: &Dataset) -> Result<Option<String>, Error> {
    let recorded = float
        .nodes
        .enumerate()
        .find_map(|(id, node)| match &node.op {
            Op::BatchNorm(norm) if has_statistics(norm) => Some((id, node, norm)),
            _ => None,
        });
    let Some((id, node, norm)) = recorded else {
        return Ok(None);
    };
    let moments = moments_before(float, id, node.inputs[0], &samples.thinned(SAMPLES))?;
    // Distance from the recorded mean and spread, both in recorded deviations. What hardly varied in training tells nothing.
    let mut distances = Vec::new();
    let mut spreads = Vec::new();
    for (channel, of_channel) in moments.channels.iter().enumerate() {
        let (mean, variance) = of_channel.mean_and_variance(moments.values);
        let recorded = f64::from(norm.variance[channel]);
        if recorded > f64::from(norm.epsilon) {
            let offset = mean - f64::from(norm.mean[channel]);
            distances.push(((offset * offset + variance) / recorded).sqrt());
            spreads.push((variance / recorded).sqrt());
        }
    }
    let (Some(distance), Some(spread)) = (median(distances), median(spreads)) else {
        return Ok(None);
    };
    let flags = "likely --input-divisor (255 for bytes that the network knows as 0 to 1), or --input-mean and --input-std, are missing or wrong";
    Ok(if distance > SPREAD {
        Some(format!(
            "calibration samples reach {distance:.1} times as far at `{}` as its BatchNorm recorded in training; {flags}",
            node.name
        ))
    } else if spread < 1.0 / SPREAD && moments.values >= FEWEST_VALUES {
        Some(format!(
            "calibration samples vary {:.1} times less at `{}` than its BatchNorm recorded in training; {flags}, or divide what has been divided",
            1.0 / spread.max(f64::MIN_POSITIVE),
            node.name
        ))
    } else {
        None
    })
}

/// Whether the parameters come from training, and are no constants of an addition or a product.
fn has_statistics(norm: &BatchNorm) -> bool {
    norm.epsilon > 0.0
        && (norm.variance.iter().any(|&variance| variance != 1.0)
            || norm.mean.iter().any(|&mean| mean != 0.0))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Sums over the values of each channel.
struct Moments {
    channels: Vec<Sums>,
    /// Values of each channel.
    values: usize,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    first: f64,
    second: f64,
}

impl Sums {
    fn mean_and_variance(self, values: usize) -> (f64, f64) {
        let mean = self.first / values.max(1) as f64;
        let variance = self.second / values.max(1) as f64 - mean * mean;
        (mean, variance.max(0.0))
    }
}

/// The moments of `tensor`, which lies before node `end`.
fn moments_before(
    float: &Graph,
    end: NodeId,
    tensor: TensorId,
    samples: &Dataset,
) -> Result<Moments, Error> {
    let channels = float.tensors[tensor].channels();
    let mut moments = Moments {
        channels: vec![Sums::default(); channels],
        values: 0,
    };
    let mut add = |values: &[f32]| {
        for row in values.chunks_exact(channels) {
            moments.values += 1;
            for (sums, &value) in moments.channels.iter_mut().zip(row) {
                sums.first += f64::from(value);
                sums.second += f64::from(value) * f64::from(value);
            }
        }
    };
    if float.inputs.iter().any(|input| input.tensor == tensor) {
        add(&samples.inputs);
        return Ok(moments);
    }
    let mut start = float.clone();
    start.nodes.truncate(end);
    start.outputs = vec![tensor];
    start.output_layouts.clear();
    let executor = Executor::new(&start).map_err(|e| Error::new(Stage::Calibrate, e))?;
    for sample in samples.inputs.chunks(samples.elements()) {
        let values = executor.forward(sample, 1);
        add(&values.map_err(|e| Error::new(Stage::Calibrate, e))?);
    }
    Ok(moments)
}
