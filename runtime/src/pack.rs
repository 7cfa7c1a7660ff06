//! The order of weights that a kernel family wants.
//!
//! Rows are the order that every build runs. Pairs are what the loops of the DSP family stream: `docs/model-format.md` has the byte
//! tables. A blob's header names the family that it was packed for; operators that the family has no loop for keep
//! their rows.

use crate::format::program::WeightType;

/// Bytes of a layer's weights in pairs: `channels` rows of `products` weights each.
///
/// Convolutions fill rows up to 4 weights, fully connected layers (`multiple` 8) to 8, both powers of two; an odd last channel
/// gets a partner.
#[must_use]
pub(crate) fn paired_bytes(
    weight_type: WeightType,
    channels: u64,
    products: u64,
    multiple: u64,
) -> u64 {
    // No division: in 64 bits it would be a long way round on a microcontroller.
    let row = products.saturating_add(multiple - 1) & !(multiple - 1);
    let pair = match weight_type {
        WeightType::PairedInt4 => row,
        _ => 2 * row,
    };
    channels.div_ceil(2).saturating_mul(pair)
}

/// Weights that fill up rows of a convolution and of a fully connected layer.
pub(crate) const CONV_MULTIPLE: u64 = 4;
pub(crate) const FULLY_CONNECTED_MULTIPLE: u64 = 8;

#[cfg(feature = "std")]
mod order {
    use super::{CONV_MULTIPLE, FULLY_CONNECTED_MULTIPLE};
    use crate::format::family::Family;
    use crate::format::place::{ParamIndex, WeightsOffset};
    use crate::format::program::{Clamp, Conv2d, FullyConnected, Op, Requant, Tensor, WeightType};
    use crate::format::write::BlobWriter;
    use crate::limits;

    /// Largest accumulator of int4 weights in pairs, plus one: the second channel's is kept times 16.
    const INT4_LIMIT: u64 = limits::accumulator_limit(limits::PAIRED_INT4_SHIFT);

    /// Moves the weights section into the order of a family: rewrites it and the operators' offsets and weight types.
    ///
    /// `weights` is in the default order. Operators that the family has no loop for, or whose accumulators its loops
    /// cannot hold, keep the default order. Scratch is not set: see [`scratch_bytes`](crate::load::scratch_bytes).
    #[must_use]
    pub fn pack(
        packing: Family,
        ops: &mut [Op],
        tensors: &[Tensor],
        sections: &BlobWriter,
    ) -> BlobWriter {
        let mut writer = BlobWriter::with_sections(Vec::new(), sections.params().to_vec());
        let weights = sections.weights();
        for op in ops {
            repack(
                packing,
                op,
                tensors,
                weights,
                sections.params(),
                &mut writer,
            );
        }
        writer
    }

    fn repack(
        packing: Family,
        op: &mut Op,
        tensors: &[Tensor],
        weights: &[i8],
        params: &[i32],
        writer: &mut BlobWriter,
    ) {
        let tensor = |index: u16| tensors.get(usize::from(index));
        let dims = |index: u16| tensor(index).map_or([0, 0, 0], |t| t.shape().map(usize::from));
        let mut moved = |offset: &mut WeightsOffset, length: usize| {
            let from = offset.rest(weights).unwrap_or_default();
            *offset = writer.append_weights(from.get(..length).unwrap_or(from));
        };
        match op {
            Op::Conv2d(Conv2d {
                input,
                output,
                window,
                groups,
                weight_type,
                weights: at,
                bias,
                requant,
                ..
            }) => {
                let [[.., in_c], [.., out_c]] = [dims(*input), dims(*output)];
                let taps = usize::from(window.kernel_h) * usize::from(window.kernel_w);
                let row = taps * in_c.checked_div((*groups).into()).unwrap_or(0);
                let layer = Rows {
                    weight_type: *weight_type,
                    channels: out_c,
                    row,
                    multiple: CONV_MULTIPLE,
                };
                let pairs = (packing == Family::Dsp && *groups == 1)
                    .then(|| layer.pairs(weights, *at, params, *bias))
                    .flatten();
                match pairs {
                    Some((paired, bytes)) => {
                        (*weight_type, *at) = (paired, writer.append_weights(&bytes));
                    }
                    None => moved(at, layer.bytes(out_c, row)),
                }
                clamp(requant, out_c, weights, writer);
            }
            Op::FullyConnected(FullyConnected {
                input,
                output,
                weight_type,
                weights: at,
                bias,
                requant,
                ..
            }) => {
                let row = dims(*input).iter().product();
                let [.., out_c] = dims(*output);
                let layer = Rows {
                    weight_type: *weight_type,
                    channels: out_c,
                    row,
                    multiple: FULLY_CONNECTED_MULTIPLE,
                };
                let pairs = (packing == Family::Dsp)
                    .then(|| layer.pairs(weights, *at, params, *bias))
                    .flatten();
                match pairs {
                    Some((paired, bytes)) => {
                        (*weight_type, *at) = (paired, writer.append_weights(&bytes));
                    }
                    None => moved(at, layer.bytes(out_c, row)),
                }
                clamp(requant, out_c, weights, writer);
            }
            Op::DepthwiseConv2d(Conv2d {
                output,
                window,
                weight_type,
                weights: at,
                requant,
                ..
            }) => {
                let [.., out_c] = dims(*output);
                let taps = usize::from(window.kernel_h) * usize::from(window.kernel_w);
                let layer = Rows {
                    weight_type: *weight_type,
                    channels: taps,
                    row: out_c,
                    multiple: 1,
                };
                moved(at, layer.bytes(taps, out_c));
                clamp(requant, out_c, weights, writer);
            }
            Op::AveragePool(pool) => {
                clamp(&mut pool.requant, dims(pool.output)[2], weights, writer)
            }
            Op::Mul(mul) => clamp(&mut mul.requant, dims(mul.output)[2], weights, writer),
            Op::Lut(lut) => moved(&mut lut.table, 256),
            Op::Constant(constant) => {
                let length = dims(constant.output).iter().product();
                moved(&mut constant.data, length);
            }
            Op::MaxPool(_)
            | Op::Add(_)
            | Op::Max(_)
            | Op::Min(_)
            | Op::Softmax(_)
            | Op::ScaledSoftmax(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Concat(_)
            | Op::Pad(_) => {}
        }
    }

    fn clamp(requant: &mut Requant, channels: usize, weights: &[i8], writer: &mut BlobWriter) {
        if let Clamp::PerChannel { offset } = &mut requant.clamp {
            let pairs = offset.rest(weights).unwrap_or_default();
            *offset = writer.append_weights(pairs.get(..2 * channels).unwrap_or(pairs));
        }
    }

    /// A layer's weights in rows.
    struct Rows {
        weight_type: WeightType,
        channels: usize,
        row: usize,
        multiple: u64,
    }

    impl Rows {
        /// Bytes of `rows` rows of `row` weights.
        fn bytes(&self, rows: usize, row: usize) -> usize {
            match self.weight_type {
                WeightType::Int4 => rows * row.div_ceil(2),
                _ => rows * row,
            }
        }

        /// The weights in pairs, and their type; `None` if they have to stay in rows.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "rows are in memory; 256 * w1 + w0 of weights -127..=127 fits 16 bits"
        )]
        fn pairs(
            &self,
            weights: &[i8],
            at: WeightsOffset,
            params: &[i32],
            bias: ParamIndex,
        ) -> Option<(WeightType, Vec<i8>)> {
            let section = at.rest(weights)?;
            let weight = |channel: usize, k: usize| -> i8 {
                if channel >= self.channels || k >= self.row {
                    return 0;
                }
                let byte = |at: usize| section.get(at).copied().unwrap_or(0);
                match self.weight_type {
                    WeightType::Int4 => {
                        let byte = byte(channel * self.row.div_ceil(2) + k / 2);
                        if k.is_multiple_of(2) {
                            (byte << 4) >> 4
                        } else {
                            byte >> 4
                        }
                    }
                    _ => byte(channel * self.row + k),
                }
            };
            let quads = (self.row as u64).div_ceil(self.multiple) * self.multiple / 4;
            let pairs = (0..self.channels.div_ceil(2))
                .flat_map(|pair| (0..quads as usize).map(move |quad| (2 * pair, 4 * quad)));
            match self.weight_type {
                WeightType::Int8 => {
                    let halfword = |channel: usize, k: usize| {
                        let joint =
                            256 * i32::from(weight(channel + 1, k)) + i32::from(weight(channel, k));
                        (joint as i16).to_le_bytes().map(u8::cast_signed)
                    };
                    let bytes = pairs.flat_map(|(channel, k)| {
                        [0, 2, 1, 3].map(|place| halfword(channel, k + place))
                    });
                    Some((WeightType::PairedInt8, bytes.flatten().collect()))
                }
                WeightType::Int4 => {
                    let products =
                        self.row as u64 * limits::MAX_INT4_WEIGHT * limits::MAX_ACTIVATION;
                    let biases = bias.slice(params, self.channels)?;
                    if biases
                        .iter()
                        .any(|bias| products + u64::from(bias.unsigned_abs()) >= INT4_LIMIT)
                    {
                        return None;
                    }
                    let byte = |channel: usize, k: usize| {
                        let [low, high] =
                            [0, 1].map(|side| (weight(channel + side, k) + 8).cast_unsigned());
                        (low | (high << 4)).cast_signed()
                    };
                    let bytes = pairs.flat_map(|(channel, k)| {
                        [0, 1, 2, 3].map(|place| byte(channel, k + place))
                    });
                    Some((WeightType::PairedInt4, bytes.collect()))
                }
                WeightType::PairedInt8 | WeightType::PairedInt4 => None,
            }
        }
    }
}

#[cfg(feature = "std")]
pub use order::pack;
