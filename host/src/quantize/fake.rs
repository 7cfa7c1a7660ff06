//! The fake-quantized simulation: the float graph on the grid of the integers.
//!
//! Weights are replaced by what their integers stand for, and every tensor is rounded to its encoding as it is produced
//! ([`Encodings::fake_quantize`], called from the executor's hook). Arithmetic is still float: what the integer engine adds to this is only its requantization.

use super::{Encodings, QuantizeError, Weights};
use crate::graph::Graph;
use crate::recipe::WeightOptions;

/// A copy of `graph` whose weights are the quantized ones.
///
/// # Errors
/// As [`Weights::quantize`].
pub fn simulation_graph(
    graph: &Graph,
    encodings: &Encodings,
    options: WeightOptions,
) -> Result<Graph, QuantizeError> {
    let mut simulated = graph.clone();
    for (node, original) in simulated.nodes.iter_mut().zip(&graph.nodes) {
        let input = original.inputs.first().map(|&input| encodings.of(input));
        if let (Some(linear), Some(input)) = (node.op.linear_mut(), input) {
            let weights = Weights::quantize(
                original,
                linear,
                options,
                input,
                encodings.of(original.output),
            )?;
            linear.weights = weights.dequantized();
        }
    }
    Ok(simulated)
}
