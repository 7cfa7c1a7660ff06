//! Symmetric weight quantization with room for the bias.
//!
//! A scale is `max|w| / 127` (or `/ 7`), over a row or over the tensor. A bias is stored in steps of `s_x * s_w`; where that step is
//! so small that the bias would crowd its accumulator, the channel's scale is raised. Dead channels are like that: weights about 1e-20 next to
//! a bias of order 1, so that the channel is a constant, which a larger step still represents.

use super::error::QuantizeError;
use super::{Encoding, Multipliers, symmetric_scale};
use crate::graph::{Linear, Node};
use crate::range::RangeOptions;
use crate::recipe::{Granularity, WeightBits, WeightOptions};
use fewbit_runtime::limits::accumulator_limit;

/// Largest quantized bias before the zero point is folded in. `2^26` steps leave 5 bits of the accumulator for the products, and a
/// channel whose weights are so small that its bias takes more has less than 1/4 output step of weight rounding error
/// even at 1000 products per output.
const BIAS_ROOM: f64 = (1u32 << 26) as f64;

/// Quantized weights of a layer and the bias that goes with them: chosen by passes, or given.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights {
    /// Width of the weights.
    pub bits: WeightBits,
    /// Quantized weights in the graph's order (OHWI, OI), within `-max..=max` of their type.
    pub values: Vec<i8>,
    /// Scale of each output channel: the real size of one step of its weights. All are equal per tensor, but for raised ones.
    pub scales: Vec<f64>,
    /// Least scale of each output channel that leaves its bias room; 0 where that is not known, as with given integers.
    pub least_scales: Vec<f64>,
    /// Real bias of each output channel, corrections included. A double tells every bias of 32 bits from its neighbours.
    pub bias: Vec<f64>,
}

impl LayerWeights {
    /// Rounds the weights of `linear`, the parameters of `node`, to nearest, for an input with encoding `input`.
    ///
    /// # Errors
    /// Weights that are not finite.
    pub fn nearest(
        node: &Node,
        linear: &Linear,
        options: WeightOptions,
        input: Encoding,
    ) -> Result<LayerWeights, QuantizeError> {
        if !linear
            .weights
            .iter()
            .chain(&linear.bias)
            .all(|value| value.is_finite())
        {
            return Err(QuantizeError {
                node: node.name.clone(),
                problem: "has weights or biases that are not finite; the model is damaged or was not trained".to_owned(),
            });
        }
        let least_scales: Vec<f64> = linear
            .bias
            .iter()
            .map(|bias| f64::from(bias.abs()) / (f64::from(input.scale) * BIAS_ROOM))
            .collect();
        let mut layer = LayerWeights {
            bits: options.bits,
            values: Vec::new(),
            scales: Vec::new(),
            least_scales,
            bias: linear.bias.iter().copied().map(f64::from).collect(),
        };
        layer.set_scales(linear, &initial_scales(linear, options));
        Ok(layer)
    }

    /// The given integers: `values` in the graph's order, the real size of their steps for each output channel, and biases in steps of
    /// `input.scale * scale`, as models hold them that are quantized already. Whether they suit a layer is checked by
    /// [`NetworkWeights::given`](super::NetworkWeights::given).
    pub fn from_integers(
        bits: WeightBits,
        values: Vec<i8>,
        scales: Vec<f64>,
        bias: &[i32],
        input: Encoding,
    ) -> LayerWeights {
        let real =
            |(&bias, scale): (&i32, &f64)| f64::from(bias) * (f64::from(input.scale) * scale);
        LayerWeights {
            bits,
            values,
            least_scales: vec![0.0; scales.len()],
            bias: bias.iter().zip(&scales).map(real).collect(),
            scales,
        }
    }

    /// Bias of each output channel in steps of `input.scale * scale`, rounded; the inverse of [`LayerWeights::from_integers`].
    pub fn bias_steps(&self, input: Encoding) -> Vec<i64> {
        let steps = |(bias, scale): (&f64, &f64)| (bias / (f64::from(input.scale) * scale)).round();
        let pairs = self.bias.iter().zip(&self.scales);
        pairs.map(|pair| steps(pair) as i64).collect()
    }

    /// Takes other scales, raised where a bias needs it, and rounds the weights of `linear` to nearest.
    pub fn set_scales(&mut self, linear: &Linear, scales: &[f64]) {
        let raised = scales.iter().zip(&self.least_scales);
        let raised: Vec<f64> = raised.map(|(scale, least)| scale.max(*least)).collect();
        // Neither weights nor bias: any step will do that asks for no more pre-shift than the other channels'.
        let any = match raised.iter().copied().fold(0.0, f64::max) {
            0.0 => 1.0,
            largest => largest,
        };
        let usable = |scale: f64| if scale == 0.0 { any } else { scale };
        self.scales = raised.into_iter().map(usable).collect();
        let max = f64::from(self.bits.max());
        self.values = linear
            .rows()
            .zip(&self.scales)
            .flat_map(|(row, &scale)| {
                row.iter()
                    .map(move |&weight| (f64::from(weight) / scale).round().clamp(-max, max) as i8)
            })
            .collect();
    }

    /// Channels whose scale is what their bias needs.
    pub fn raised(&self) -> usize {
        let raised = |(&scale, &least): (&f64, &f64)| least > 0.0 && scale == least;
        self.scales
            .iter()
            .zip(&self.least_scales)
            .filter(|&(scale, least)| raised((scale, least)))
            .count()
    }

    /// The biases as singles, for the fake-quantized graph.
    pub fn real_bias(&self) -> Vec<f32> {
        self.bias.iter().map(|&bias| bias as f32).collect()
    }

    /// The weights as real numbers again, for the fake-quantized graph.
    pub fn dequantized(&self) -> Vec<f32> {
        let row = self.values.len() / self.scales.len().max(1);
        self.values
            .chunks_exact(row.max(1))
            .zip(&self.scales)
            .flat_map(|(row, &scale)| {
                row.iter()
                    .map(move |&value| (f64::from(value) * scale) as f32)
            })
            .collect()
    }
}

/// Integers that a layer's kernel reads beside its weights, for a given input and output encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Requantization {
    /// Bias of each output channel with the zero point of the input folded in, in steps of `s_x * s_w`.
    pub bias: Vec<i32>,
    /// Requantization multipliers, one per output channel.
    pub multipliers: Multipliers,
}

impl Requantization {
    /// Of a layer whose weights are chosen.
    ///
    /// # Errors
    /// Layers whose accumulators cannot be kept within 32 bits.
    pub fn of(
        node: &Node,
        layer: &LayerWeights,
        input: Encoding,
        output: Encoding,
    ) -> Result<Requantization, QuantizeError> {
        let error = |problem: String| QuantizeError {
            node: node.name.clone(),
            problem,
        };
        let input_scale = f64::from(input.scale);
        let row = layer.values.len() / layer.scales.len().max(1);
        let bias = layer
            .values
            .chunks_exact(row.max(1))
            .zip(layer.bias_steps(input))
            .map(|(row, steps)| {
                let sum: i64 = row.iter().map(|&weight| i64::from(weight)).sum();
                steps - i64::from(input.zero_point) * sum
            })
            .collect::<Vec<i64>>();
        let factors: Vec<f64> = layer
            .scales
            .iter()
            .map(|scale| input_scale * scale / f64::from(output.scale))
            .collect();
        let multipliers = Multipliers::from_factors(&factors).ok_or_else(|| {
            error(
                "its output is so much smaller than its products that no multiplier fits"
                    .to_owned(),
            )
        })?;
        let products = row as i64 * i64::from(layer.bits.max()) * -i64::from(input.bits.min());
        let largest = bias.iter().map(|bias| bias.abs()).max().unwrap_or(0);
        // Equation (5); the loader checks the same.
        let limit = accumulator_limit(multipliers.pre_shift);
        if i128::from(products) + i128::from(largest) >= i128::from(limit) {
            return Err(error(format!(
                "sums {row} products with a bias of up to {largest} steps and a shift of {}, which may overflow 32 bits; \
                 split the layer or widen the range of its output",
                multipliers.pre_shift
            )));
        }
        Ok(Requantization {
            // Within i32 by the bound just checked.
            bias: bias.iter().map(|&bias| bias as i32).collect(),
            multipliers,
        })
    }
}

fn initial_scales(linear: &Linear, options: WeightOptions) -> Vec<f64> {
    let range = RangeOptions::from(options.range);
    let scale = |weights: &[f32]| symmetric_scale(weights, options.bits.max(), &range);
    match options.granularity {
        Granularity::PerChannel => linear.rows().map(scale).collect(),
        Granularity::PerTensor => vec![scale(&linear.weights); linear.out_channels],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Op, TensorId};

    fn quantize(
        weights: Vec<f32>,
        bias: Vec<f32>,
        options: WeightOptions,
    ) -> Result<(LayerWeights, Requantization), QuantizeError> {
        let linear = Linear {
            weights,
            out_channels: bias.len(),
            bias,
            folded: None,
        };
        let node = Node {
            name: "layer".to_owned(),
            op: Op::FullyConnected(linear.clone()),
            inputs: vec![TensorId::new(0)],
            output: TensorId::new(1),
            activation: None,
        };
        let input = Encoding::int8(0.5, -10);
        let output = Encoding::int8(0.25, 3);
        let layer = LayerWeights::nearest(&node, &linear, options, input)?;
        let requantization = Requantization::of(&node, &layer, input, output)?;
        Ok((layer, requantization))
    }

    #[test]
    fn per_channel_scales_use_the_whole_range() {
        let (weights, requantization) = quantize(
            vec![1.27, -0.5, 0.0127, 0.001],
            vec![0.0, 0.1],
            WeightOptions::default(),
        )
        .expect("fits");
        assert_eq!(weights.values, [127, -50, 127, 10]);
        assert!((weights.scales[0] - 0.01).abs() < 1e-8);
        // 0.1 / (0.5 * 1e-4) = 2000 steps, and 10 * (127 + 10) for the zero point.
        assert_eq!(requantization.bias, [10 * 77, 2000 + 1370]);
        assert_eq!(weights.raised(), 0);
    }

    #[test]
    fn per_tensor_and_int4() {
        let options = WeightOptions {
            bits: WeightBits::Int4,
            granularity: Granularity::PerTensor,
            ..WeightOptions::default()
        };
        let (weights, _) =
            quantize(vec![0.7, -0.26, 0.049, -0.051], vec![0.0, 0.0], options).expect("fits");
        assert_eq!(weights.values, [7, -3, 0, -1]);
        assert_eq!(weights.scales[0], weights.scales[1]);
    }

    #[test]
    fn a_dead_channel_keeps_its_constant() {
        let (weights, requantization) = quantize(
            vec![1.0, 1.0, 1e-20, -1e-20],
            vec![0.0, 2.5],
            WeightOptions::default(),
        )
        .expect("fits");
        assert_eq!(weights.raised(), 1);
        assert_eq!(weights.values[2..], [0, 0]);
        let real = f64::from(requantization.bias[1]) * 0.5 * weights.scales[1];
        assert!((real - 2.5).abs() < 1e-6, "{real}");
        let factor = f64::from(requantization.multipliers.values[1])
            / 2f64.powi(32 - i32::from(requantization.multipliers.pre_shift));
        let output = f64::from(requantization.bias[1]) * factor;
        assert!((output - 10.0).abs() < 0.01, "{output} steps of 0.25");
    }

    #[test]
    fn a_channel_of_nothing_takes_no_precision_from_others() {
        let weights = vec![1.27e-3, 0.0, 0.0, 0.0];
        let (layer, requantization) =
            quantize(weights, vec![0.0, 0.0], WeightOptions::default()).expect("fits");
        assert_eq!(layer.scales[1], layer.scales[0]);
        assert_eq!(requantization.multipliers.pre_shift, 0);
    }

    #[test]
    fn all_zero_and_not_finite() {
        let (_, requantization) =
            quantize(vec![0.0; 4], vec![0.0, 0.0], WeightOptions::default()).expect("fits");
        assert_eq!(requantization.bias, [0, 0]);
        let error = quantize(vec![f32::NAN; 4], vec![0.0, 0.0], WeightOptions::default())
            .expect_err("refused");
        assert!(error.to_string().contains("layer"), "{error}");
    }
}
