//! Samples made from nothing but the network, for quantization without data.
//!
//! Noise is not what a network was trained on, and its activations behind noise are not those of training. Of these, each BatchNorm recorded
//! mean and variance, channel by channel. So smooth noise is run through the network, and every layer with a recorded distribution has its outputs scaled and shifted,
//! channel by channel, until mean and deviation over all samples are the recorded ones; the next layer reads the result. What comes
//! out has the right moments everywhere, and how channels go together is what the network's own weights make of it.
//!
//! Matching the moments that BatchNorms recorded is the idea of Cai et al., "ZeroQ: A Novel Zero Shot Quantization Framework" (2020), section 3.1, where
//! inputs are learnt for it by gradient descent; doing it layer by layer takes one run of the network.

mod fit;
mod matching;
mod noise;

pub(crate) use matching::{adjusted, adjustments};

use crate::dataset::Dataset;
use crate::executor::SingleNodeError;
use crate::graph::Graph;
use crate::range::Range;
use noise::{Spread, drawn};

/// Noise in the ranges of the network's inputs. That of images is smooth: power falls with the square of the frequency, as in photographs, and
/// most of it is common to all channels; its means and the power of each octave are those that give the layers that read it the moments their BatchNorms recorded,
/// as far as they can. Vectors are uniform.
pub(crate) fn noise(
    graph: &Graph,
    ranges: &[Range],
    samples: usize,
    seed: u64,
) -> Result<Dataset, SingleNodeError> {
    let spreads = spreads(graph, ranges, seed)?;
    Ok(drawn(graph, &spreads, samples, seed))
}

/// [`noise`] whose images differ in contrast, as much as the whole network's BatchNorms make likeliest.
pub(crate) fn varied_noise(
    graph: &Graph,
    ranges: &[Range],
    samples: usize,
    seed: u64,
) -> Result<Dataset, SingleNodeError> {
    let mut spreads = spreads(graph, ranges, seed)?;
    if spreads.iter().any(Spread::is_image) {
        fit::contrast(graph, &mut spreads, samples, seed)?;
    }
    Ok(drawn(graph, &spreads, samples, seed))
}

/// Distribution of the noise of each input, at one contrast.
fn spreads(graph: &Graph, ranges: &[Range], seed: u64) -> Result<Vec<Spread>, SingleNodeError> {
    let mut spreads = Vec::new();
    for (input, &range) in graph.inputs.iter().zip(ranges) {
        let shape = &graph.tensors[input.tensor].shape;
        let mut spread = Spread::of(range, shape);
        if spread.is_image() && spread.mean.len() <= fit::MOST_CHANNELS {
            let first: Vec<_> = (graph.nodes.iter())
                .filter(|node| node.inputs[..] == [input.tensor])
                .filter_map(|node| Some((node, node.op.linear()?.folded.as_ref()?)))
                .collect();
            fit::means(graph, &first, &mut spread)?;
            fit::octaves(graph, &first, &mut spread, seed)?;
        }
        spreads.push(spread);
    }
    Ok(spreads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_model;
    use crate::executor::Executor;
    use crate::graph::NodeId;
    use crate::import::ImportOptions;
    use crate::ptq::passes;
    use crate::recipe::Recipe;

    #[test]
    fn every_layer_gets_the_moments_that_were_recorded() {
        let mut graph = default_model::graph(&ImportOptions::default()).expect("built in");
        passes::run(&passes::float_passes(&Recipe::default()), &mut graph).expect("folds");
        let range = Range {
            min: -1.0,
            max: 2.0,
        };
        let samples = noise(&graph, &[range], 16, 1).expect("runs");
        let found = adjustments(&graph, &samples).expect("runs");
        let mut bare = adjusted(&graph, &found);
        // Before the activation: the first layer alone.
        bare.nodes.truncate(NodeId::new(1));
        bare.nodes[NodeId::new(0)].activation = None;
        bare.outputs = vec![bare.nodes[NodeId::new(0)].output];
        let output = Executor::new(&bare)
            .expect("sound")
            .forward(&samples.inputs, samples.samples)
            .expect("runs");
        let linear = graph.nodes[NodeId::new(0)].op.linear().expect("a layer");
        let norm = linear.folded.as_ref().expect("folded");
        for channel in 0..norm.channels() {
            let values: Vec<f64> = output
                .iter()
                .skip(channel)
                .step_by(norm.channels())
                .map(|&value| f64::from(value))
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance =
                values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            let (beta, gamma) = (
                f64::from(norm.beta[channel]),
                f64::from(norm.gamma[channel]),
            );
            assert!(
                (mean - beta).abs() < 1e-3 * (1.0 + beta.abs()),
                "{mean} {beta}"
            );
            assert!(
                (variance.sqrt() - gamma.abs()).abs() < 1e-2 * gamma.abs(),
                "{variance} {gamma}"
            );
        }
    }
}
