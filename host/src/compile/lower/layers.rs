//! Lowering of layers with weights, and of pools.

use super::{Lowering, error, fit};
use crate::graph::{Conv2d, Linear, Node, NodeId, Window};
use crate::quantize::{LayerWeights, Multipliers, QuantizeError, Requantization};
use crate::recipe::WeightBits;
use fewbit_runtime::format::place::{ParamIndex, WeightsOffset};
use fewbit_runtime::format::program::{
    self, AveragePool, FullyConnected, MaxPool, Op, Requant, Scratch, WeightType,
};
use fewbit_runtime::format::write::pack_int4_rows;
use fewbit_runtime::limits::{accumulator_limit, pool_sum};

/// Places of a layer's numbers in the sections.
struct Stored {
    weight_type: WeightType,
    weights: WeightsOffset,
    bias: ParamIndex,
    requant: Requant,
}

impl<'a> Lowering<'a> {
    pub(super) fn conv_2d(&mut self, id: NodeId, conv: &Conv2d) -> Result<(), QuantizeError> {
        let graph = self.graph;
        let node = &graph.nodes[id];
        let weights = self.quantized(id)?;
        let depthwise = conv.is_depthwise();
        let stored = if depthwise {
            // OHWI with one input channel is [o][tap]; the device wants [tap][o].
            let taps = conv.linear.weights_per_channel();
            let channels = conv.linear.out_channels;
            let values = (0..taps * channels)
                .map(|place| weights.values[place % channels * taps + place / channels]);
            self.store(node, weights, &values.collect::<Vec<_>>(), channels)?
        } else {
            self.store(
                node,
                weights,
                &weights.values,
                conv.linear.weights_per_channel(),
            )?
        };
        let op = program::Conv2d {
            input: self.index(node.inputs[0]),
            output: self.output(node)?,
            window: device_window(node, &conv.window)?,
            groups: fit(node, conv.groups, "the number of groups")?,
            weight_type: stored.weight_type,
            weights: stored.weights,
            bias: stored.bias,
            requant: stored.requant,
            scratch: Scratch::default(),
        };
        let macs = self.macs(node, &conv.linear);
        let op = if depthwise {
            Op::DepthwiseConv2d(op)
        } else {
            Op::Conv2d(op)
        };
        self.push_with_macs(node, op, macs);
        Ok(())
    }

    pub(super) fn fully_connected(
        &mut self,
        id: NodeId,
        linear: &Linear,
    ) -> Result<(), QuantizeError> {
        let graph = self.graph;
        let node = &graph.nodes[id];
        let weights = self.quantized(id)?;
        let stored = self.store(node, weights, &weights.values, linear.weights_per_channel())?;
        let op = FullyConnected {
            input: self.index(node.inputs[0]),
            output: self.output(node)?,
            weight_type: stored.weight_type,
            weights: stored.weights,
            bias: stored.bias,
            requant: stored.requant,
            scratch: Scratch::default(),
        };
        let macs = self.macs(node, linear);
        self.push_with_macs(node, Op::FullyConnected(op), macs);
        Ok(())
    }

    pub(super) fn max_pool(&mut self, node: &Node, window: &Window) -> Result<(), QuantizeError> {
        self.check_windows(node, window)?;
        let (min, max) = self.clamp_bounds(node)?;
        let op = MaxPool {
            input: self.index(node.inputs[0]),
            output: self.output(node)?,
            window: device_window(node, window)?,
            min,
            max,
        };
        self.push(node, Op::MaxPool(op));
        Ok(())
    }

    pub(super) fn average_pool(
        &mut self,
        node: &Node,
        window: &Window,
        count_include_pad: bool,
    ) -> Result<(), QuantizeError> {
        self.check_windows(node, window)?;
        let (input, output) = (self.encoding(node.inputs[0]), self.encoding(node.output));
        let ratio = f64::from(input.scale) / f64::from(output.scale);
        let area = window.kernel[0] * window.kernel[1];
        let multiplier_per_count = window.is_padded() && !count_include_pad;
        let counts = if multiplier_per_count {
            1..=area
        } else {
            area..=area
        };
        let factors: Vec<f64> = counts.map(|count| ratio / count as f64).collect();
        let multipliers = Multipliers::from_factors(&factors)
            .filter(|multipliers| pool_sum(area as u64) < accumulator_limit(multipliers.pre_shift))
            .ok_or_else(|| {
                let size = window.kernel;
                error(node, format!("averages windows of {size:?} into a range so narrow that its sums may overflow"))
            })?;
        let requant = Requant {
            multipliers: self.lowered.sections.append_params(&multipliers.values),
            pre_shift: multipliers.pre_shift,
            clamp: self.clamp(node)?,
        };
        let op = AveragePool {
            input: self.index(node.inputs[0]),
            output: self.output(node)?,
            window: device_window(node, window)?,
            multiplier_per_count,
            requant,
        };
        self.push(node, Op::AveragePool(op));
        Ok(())
    }

    /// The chosen weights of layer `id`.
    fn quantized(&mut self, id: NodeId) -> Result<&'a LayerWeights, QuantizeError> {
        let (graph, weights) = (self.graph, self.weights);
        let node = &graph.nodes[id];
        let layer = weights
            .of(id)
            .ok_or_else(|| error(node, "has no quantized weights"))?;
        if layer.raised() > 0 {
            self.lowered.notes.push(format!(
                "`{}`: {} of {} channels have weights too small for their bias (dead channels) and got a larger weight scale",
                node.name,
                layer.raised(),
                layer.scales.len()
            ));
        }
        Ok(layer)
    }

    /// Stores a layer's numbers; `values` are its weights in the device's order, in rows of `row`.
    fn store(
        &mut self,
        node: &Node,
        weights: &LayerWeights,
        values: &[i8],
        row: usize,
    ) -> Result<Stored, QuantizeError> {
        let (input, output) = (self.encoding(node.inputs[0]), self.encoding(node.output));
        let requantization = Requantization::of(node, weights, input, output)?;
        let (weight_type, bytes) = match weights.bits {
            WeightBits::Int8 => (WeightType::Int8, values.to_vec()),
            WeightBits::Int4 => (WeightType::Int4, pack_int4_rows(values, row)),
        };
        self.lowered.weight_bytes += bytes.len();
        Ok(Stored {
            weight_type,
            weights: self.lowered.sections.append_weights(&bytes),
            bias: self.lowered.sections.append_params(&requantization.bias),
            requant: Requant {
                multipliers: self
                    .lowered
                    .sections
                    .append_params(&requantization.multipliers.values),
                pre_shift: requantization.multipliers.pre_shift,
                clamp: self.clamp(node)?,
            },
        })
    }

    fn macs(&self, node: &Node, linear: &Linear) -> u64 {
        self.graph.tensors[node.output].elements() as u64 * linear.weights_per_channel() as u64
    }
}

impl Lowering<'_> {
    fn check_windows(&self, node: &Node, window: &Window) -> Result<(), QuantizeError> {
        let shape = &self.graph.tensors[node.inputs[0]].shape;
        if (0..2).any(|axis| window.misses_input(axis, shape[axis])) {
            return Err(error(
                node,
                "pads a pool so that a window lies wholly in the padding",
            ));
        }
        Ok(())
    }
}

fn device_window(node: &Node, window: &Window) -> Result<program::Window, QuantizeError> {
    Ok(program::Window {
        kernel_h: fit(node, window.kernel[0], "the kernel's height")?,
        kernel_w: fit(node, window.kernel[1], "the kernel's width")?,
        stride_h: fit(node, window.stride[0], "the vertical stride")?,
        stride_w: fit(node, window.stride[1], "the horizontal stride")?,
        dilation_h: fit(node, window.dilation[0], "the vertical dilation")?,
        dilation_w: fit(node, window.dilation[1], "the horizontal dilation")?,
        pad_top: fit(node, window.pad_before[0], "the padding above")?,
        pad_left: fit(node, window.pad_before[1], "the padding at the left")?,
        pad_bottom: fit(node, window.pad_after[0], "the padding below")?,
        pad_right: fit(node, window.pad_after[1], "the padding at the right")?,
    })
}
