//! Tests of compilation: a network is what its numbers say, whoever made it.

use super::{Options, compile};
use crate::dataset::InputLayout;
use crate::default_model;
use crate::graph::{NodeMap, TensorMap};
use crate::import::ImportOptions;
use crate::progress::Silent;
use crate::ptq::{self, Calibration};
use crate::quantize::{Encoding, Encodings, LayerWeights, Network, NetworkWeights};
use crate::recipe::{Recipe, WeightBits};

/// The network that `recipe` makes of the built-in one.
fn quantized(recipe: &Recipe) -> Network {
    let float = default_model::graph(&ImportOptions::default()).expect("built in");
    let layout = InputLayout::of(&float).expect("one input");
    let samples = default_model::calibration(&layout, &recipe.input).expect("built in");
    let samples = samples.thinned(24);
    let calibration = Calibration::Samples(&samples);
    let outcome = ptq::quantize(&float, calibration, recipe, &mut Silent);
    outcome.expect("quantizes").network
}

#[test]
fn plain_numbers_make_the_same_blob() {
    for bits in [WeightBits::Int8, WeightBits::Int4] {
        let mut recipe = default_model::recipe().expect("built in");
        recipe.weights.bits = bits;
        let network = quantized(&recipe);
        let options = Options::from(&recipe);
        let blob = compile(&network, &options).expect("compiles").blob;

        // Taken apart: scales and zero points, integers of weights and biases. Float weights are gone.
        let (mut graph, encodings, weights) = network.into_parts();
        let tensors = graph.tensors.ids().map(|tensor| encodings.of(tensor));
        let tensors: TensorMap<(f32, i32)> = tensors.map(|e| (e.scale, e.zero_point)).collect();
        let layers: NodeMap<_> = (graph.nodes.enumerate())
            .map(|(id, node)| {
                let layer = weights.of(id)?;
                let bias = layer.bias_steps(encodings.of(node.inputs[0]));
                let bias = bias
                    .into_iter()
                    .map(|steps| i32::try_from(steps).expect("fits"));
                Some((
                    layer.values.clone(),
                    layer.scales.clone(),
                    bias.collect::<Vec<_>>(),
                ))
            })
            .collect();
        for linear in graph
            .nodes
            .iter_mut()
            .filter_map(|node| node.op.linear_mut())
        {
            linear.weights.fill(0.0);
            linear.bias.fill(0.0);
            linear.folded = None;
        }

        let encodings = Encodings::given(&graph, |tensor| {
            let (scale, zero_point) = tensors[tensor];
            Some(Encoding::int8(scale, zero_point))
        })
        .expect("sound");
        let weights = NetworkWeights::given(&graph, |id| {
            let (values, scales, bias) = layers[id].clone()?;
            let input = encodings.of(graph.nodes[id].inputs[0]);
            Some(LayerWeights::from_integers(
                bits, values, scales, &bias, input,
            ))
        })
        .expect("sound");
        let again = Network::new(graph, encodings, weights).expect("sound");
        let other = compile(&again, &options).expect("compiles").blob;
        assert_eq!(other.as_bytes(), blob.as_bytes(), "{bits:?}");
    }
}
