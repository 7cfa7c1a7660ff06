//! The order of weights that a kernel family wants, and its scratch.
//!
//! Rows are the order that every build runs. Pairs are what the loops of the DSP family stream: `docs/model-format.md` has the byte
//! tables. A blob's header names the family that it was packed for; operators that the family has no loop for keep
//! their rows.

use super::program::{Op, Tensor, TensorIndex, WeightType, Window};

/// The kernel family that a blob is packed for: the header's `packing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(
    feature = "std",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[repr(u8)]
pub enum Packing {
    /// Rows of weights, which every build runs.
    #[default]
    Scalar = 0,
    /// For Cortex-M4, M7 and M33.
    Dsp = 1,
    /// For Cortex-M55 and M85: rows of weights, and other scratch.
    Mve = 2,
}

impl Packing {
    /// All of them.
    pub const ALL: [Packing; 3] = [Packing::Scalar, Packing::Dsp, Packing::Mve];

    /// From the header's byte; `None` for one that this crate does not know.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|packing| *packing as u8 == code)
    }

    /// The word for it in `board.toml`, on the command line and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Packing::Scalar => "scalar",
            Packing::Dsp => "dsp",
            Packing::Mve => "mve",
        }
    }

    /// The family of this build, as firmware has one; `None` on the desk, where all are there.
    #[inline]
    pub(crate) fn of_this_build() -> Option<Packing> {
        if cfg!(fewbit_family = "all") {
            None
        } else if cfg!(fewbit_family = "dsp") {
            Some(Packing::Dsp)
        } else if cfg!(fewbit_family = "mve") {
            Some(Packing::Mve)
        } else {
            Some(Packing::Scalar)
        }
    }

    /// The family whose kernels run a blob: on the desk the one it was packed for, in firmware the build's.
    #[inline]
    pub(crate) fn of_build(blob: Packing) -> Packing {
        Self::of_this_build().unwrap_or(blob)
    }

    /// Whether this build has the kernels for it: on the desk it has all, in firmware the scalar family and its own.
    #[must_use]
    pub fn is_available(self) -> bool {
        self.is_available_in(Self::of_this_build())
    }

    /// Whether a build of a family, or one of all, has the kernels for it.
    #[inline]
    pub(super) fn is_available_in(self, build: Option<Packing>) -> bool {
        self == Packing::Scalar || build.is_none_or(|build| build == self)
    }
}

/// Bytes of scratch that the family's kernel needs for an operator with its weights as they are; 0 for most.
///
/// Only weights in pairs cannot do without. Other convolutions are slower then, and cannot work in place.
#[must_use]
pub fn scratch_bytes(op: &Op, tensors: &[Tensor], packing: Packing) -> u64 {
    let tensor = |index: TensorIndex| tensors.get(usize::from(index));
    match op {
        Op::Conv2d(conv) if conv.weight_type.is_paired() && packing == Packing::Dsp => {
            tensor(conv.input).map_or(0, |input| {
                paired_scratch_bytes(&conv.window, input.c.into())
            })
        }
        Op::FullyConnected(layer) if layer.weight_type.is_paired() && packing == Packing::Dsp => {
            tensor(layer.input).map_or(0, |input| input.len().div_ceil(8).saturating_mul(16))
        }
        // A window.
        Op::Conv2d(conv) if conv.groups == 1 => tensor(conv.input).map_or(0, |input| {
            let taps = u64::from(conv.window.kernel_h) * u64::from(conv.window.kernel_w);
            taps.saturating_mul(input.c.into())
        }),
        // Vectors run over the channels of a window, not along lines.
        Op::DepthwiseConv2d(conv) if packing == Packing::Mve => {
            tensor(conv.input).map_or(0, |input| {
                let taps = u64::from(conv.window.kernel_h) * u64::from(conv.window.kernel_w);
                taps.saturating_mul(input.c.into())
            })
        }
        Op::DepthwiseConv2d(conv) => match (tensor(conv.input), tensor(conv.output)) {
            (Some(input), Some(output)) => depthwise_scratch_bytes(&conv.window, input, output),
            _ => 0,
        },
        _ => 0,
    }
}

/// Bytes of scratch of a depthwise convolution; 0 for a window that its kernel does not take.
pub(super) fn depthwise_scratch_bytes(window: &Window, input: &Tensor, output: &Tensor) -> u64 {
    // The loader refuses it, and planners may ask before.
    if output.len() == 0 || window.kernel_h == 0 || window.kernel_w == 0 {
        return 0;
    }
    crate::kernels::depthwise_scratch_bytes(
        window,
        [input.h.into(), input.w.into()],
        [output.h.into(), output.w.into()],
    )
}

/// Bytes of scratch of a convolution with weights in pairs: sums, four expanded windows, and a pixel of zero points or the
/// windows' bytes.
fn paired_scratch_bytes(window: &Window, in_channels: u64) -> u64 {
    let taps = u64::from(window.kernel_h) * u64::from(window.kernel_w);
    let quads = taps.saturating_mul(in_channels).div_ceil(CONV_MULTIPLE);
    let rest = if in_channels.is_multiple_of(CONV_MULTIPLE) {
        in_channels
    } else {
        quads.saturating_mul(16)
    };
    quads
        .saturating_mul(32)
        .saturating_add(rest)
        .saturating_add(16)
}

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
mod pack {
    use super::{CONV_MULTIPLE, FULLY_CONNECTED_MULTIPLE, Op, Packing, Tensor, WeightType};
    use crate::format::program::{Clamp, Conv2d, FullyConnected, Requant};
    use crate::format::write::BlobWriter;

    /// Largest accumulator of int4 weights in pairs, plus one: the second channel's is kept times 16.
    const INT4_LIMIT: u64 = 1 << 27;

    /// Moves the weights section into the order of a family: rewrites it and the operators' offsets and weight types.
    ///
    /// `weights` is in the default order. Operators that the family has no loop for, or whose accumulators its loops
    /// cannot hold, keep the default order. Scratch is not set: see [`scratch_bytes`](super::scratch_bytes).
    #[must_use]
    pub fn pack(
        packing: Packing,
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
        packing: Packing,
        op: &mut Op,
        tensors: &[Tensor],
        weights: &[i8],
        params: &[i32],
        writer: &mut BlobWriter,
    ) {
        let tensor = |index: u16| tensors.get(usize::from(index));
        let dims = |index: u16| tensor(index).map_or([0, 0, 0], |t| t.shape().map(usize::from));
        let mut moved = |offset: &mut u32, length: usize| {
            let from = weights.get(*offset as usize..).unwrap_or_default();
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
                let pairs = (packing == Packing::Dsp && *groups == 1)
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
                let pairs = (packing == Packing::Dsp)
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
            let pairs = weights.get(*offset as usize..).unwrap_or_default();
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
            at: u32,
            params: &[i32],
            bias: u32,
        ) -> Option<(WeightType, Vec<i8>)> {
            let section = weights.get(at as usize..)?;
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
                    let products = self.row as u64 * 7 * 128;
                    let biases = params.get(bias as usize..)?.get(..self.channels)?;
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
pub use pack::pack;
