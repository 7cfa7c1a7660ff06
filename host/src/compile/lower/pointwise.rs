//! Lowering of elementwise operators and softmax.

use super::{Lowering, error};
use crate::graph::{Activation, Node};
use crate::quantize::{AddMultipliers, Encoding, Multipliers, QuantizeError};
use fewbit_runtime::format::program::{
    Add, Extremum, Lut, Mul, Op, Requant, ScaledSoftmax, Softmax,
};
use fewbit_runtime::limits::{MAX_PRODUCT, MAX_SOFTMAX_ROW, SOFTMAX_ONE, accumulator_limit};

impl Lowering<'_> {
    pub(super) fn lut(&mut self, node: &Node, function: &Activation) -> Result<(), QuantizeError> {
        let (input, output) = (self.encoding(node.inputs[0]), self.encoding(node.output));
        let table: Vec<i8> = (input.integers())
            .map(|quantized| {
                let real = function.apply(0, input.dequantize(quantized));
                let fused = node.activation.as_ref();
                output.quantize(fused.map_or(real, |fused| fused.apply(0, real)))
            })
            .collect();
        let op = Lut {
            input: self.index(node.inputs[0]),
            output: self.output(node)?,
            table: self.lowered.sections.append_weights(&table),
        };
        self.push(node, Op::Lut(op));
        Ok(())
    }

    pub(super) fn sum(&mut self, node: &Node, sign: f64) -> Result<(), QuantizeError> {
        let multipliers = self.ratios(node, sign)?;
        let (min, max) = self.clamp_bounds(node)?;
        let op = Add {
            a: self.index(node.inputs[0]),
            b: self.index(node.inputs[1]),
            output: self.output(node)?,
            a_multiplier: multipliers.a,
            b_multiplier: multipliers.b,
            shift: multipliers.shift,
            min,
            max,
        };
        self.push(node, Op::Add(op));
        Ok(())
    }

    /// Multipliers of the two operands, from their scales over the output's; `sign` is that of the second.
    fn ratios(&self, node: &Node, sign: f64) -> Result<AddMultipliers, QuantizeError> {
        let [a, b] =
            [node.inputs[0], node.inputs[1]].map(|input| f64::from(self.encoding(input).scale));
        let scale = f64::from(self.encoding(node.output).scale);
        AddMultipliers::from_ratios(a / scale, sign * b / scale).ok_or_else(|| {
            error(
                node,
                "its output's range is too narrow for its operands' ranges; widen it",
            )
        })
    }

    pub(super) fn extremum(
        &mut self,
        node: &Node,
        make: fn(Extremum) -> Op,
    ) -> Result<(), QuantizeError> {
        let multipliers = self.ratios(node, 1.0)?;
        let (min, max) = self.clamp_bounds(node)?;
        let op = Extremum {
            a: self.index(node.inputs[0]),
            b: self.index(node.inputs[1]),
            output: self.output(node)?,
            a_multiplier: multipliers.a,
            b_multiplier: multipliers.b,
            shift: multipliers.shift,
            min,
            max,
        };
        self.push(node, make(op));
        Ok(())
    }

    pub(super) fn mul(&mut self, node: &Node) -> Result<(), QuantizeError> {
        let [a, b] =
            [node.inputs[0], node.inputs[1]].map(|input| f64::from(self.encoding(input).scale));
        let factor = a * b / f64::from(self.encoding(node.output).scale);
        let multipliers = Multipliers::from_factors(&[factor])
            .filter(|multipliers| MAX_PRODUCT < accumulator_limit(multipliers.pre_shift))
            .ok_or_else(|| {
                error(
                    node,
                    "its output's range is too narrow for its operands' ranges; widen it",
                )
            })?;
        let requant = Requant {
            multipliers: self.lowered.sections.append_params(&multipliers.values),
            pre_shift: multipliers.pre_shift,
            clamp: self.clamp(node)?,
        };
        let op = Mul {
            a: self.index(node.inputs[0]),
            b: self.index(node.inputs[1]),
            output: self.output(node)?,
            requant,
        };
        self.push(node, Op::Mul(op));
        Ok(())
    }

    pub(super) fn softmax(&mut self, node: &Node) -> Result<(), QuantizeError> {
        let channels = self.shape(node.inputs[0])[2];
        if channels > MAX_SOFTMAX_ROW.into() {
            let problem = format!(
                "a softmax over {channels} channels; the device's limit is {MAX_SOFTMAX_ROW}"
            );
            return Err(error(node, problem));
        }
        let encoding = self.encoding(node.inputs[0]);
        let scale = f64::from(encoding.scale);
        let entry = |difference: u32| {
            (f64::from(SOFTMAX_ONE) * libm::exp(-scale * f64::from(difference))).round() as i32
        };
        let table: Vec<i32> = (0..encoding.bits.levels()).map(entry).collect();
        let encoding = self.encoding(node.output);
        let (input, output) = (self.index(node.inputs[0]), self.output(node)?);
        let table = self.lowered.sections.append_params(&table);
        let op = if encoding == Encoding::SOFTMAX {
            Op::Softmax(Softmax {
                input,
                output,
                table,
            })
        } else {
            Op::ScaledSoftmax(ScaledSoftmax {
                input,
                output,
                table,
                steps: encoding.softmax_steps(),
            })
        };
        self.push(node, op);
        Ok(())
    }
}
