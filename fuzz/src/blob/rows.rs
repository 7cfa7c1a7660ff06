//! Weights in pairs back into rows, from the specification's table.
//!
//! The runtime has no such function: a family's packing is undone here by other code than made it.

use super::parts::Parts;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::place::WeightsOffset;
use fewbit_runtime::format::program::{Op, WeightType};

/// The order in which weights k..k + 4 of 8 bits lie in memory.
const ORDER: [usize; 4] = [0, 2, 1, 3];

/// The same program with its weights in rows, for the scalar family, without scratch; `None` if weights lie outside of the section.
#[must_use]
pub(super) fn in_rows(parts: &Parts) -> Option<Parts> {
    let mut rows = parts.clone().with_packing(Family::Scalar);
    for op in &mut rows.program.ops {
        if let Some(scratch) = op.scratch_mut() {
            *scratch = Default::default();
        }
        let tensors = &parts.program.tensors;
        let (weight_type, offset, products, channels, multiple) = match op {
            Op::Conv2d(conv) => {
                let input = tensors.get(usize::from(conv.input))?;
                let taps = usize::from(conv.window.kernel_h) * usize::from(conv.window.kernel_w);
                let products = taps * usize::from(input.c);
                let output = tensors.get(usize::from(conv.output))?.c;
                (
                    &mut conv.weight_type,
                    &mut conv.weights,
                    products,
                    output,
                    4,
                )
            }
            Op::FullyConnected(layer) => {
                let products =
                    usize::try_from(tensors.get(usize::from(layer.input))?.elements()).ok()?;
                let output = tensors.get(usize::from(layer.output))?.c;
                (
                    &mut layer.weight_type,
                    &mut layer.weights,
                    products,
                    output,
                    8,
                )
            }
            _ => continue,
        };
        if !weight_type.is_paired() {
            continue;
        }
        let section = offset.rest(&parts.weights)?;
        let filled = products.next_multiple_of(multiple);
        let mut packed = Vec::new();
        for channel in 0..usize::from(channels) {
            let row = (0..products).map(|k| weight(section, *weight_type, filled, channel, k));
            let row: Vec<i8> = row.collect::<Option<_>>()?;
            match *weight_type {
                WeightType::PairedInt4 => packed.extend(row.chunks(2).map(|pair| {
                    let high = pair.get(1).map_or(0, |high| high.rem_euclid(16));
                    (pair[0].rem_euclid(16) as u8 + 16 * high as u8) as i8
                })),
                _ => packed.extend(row),
            }
        }
        *weight_type = match *weight_type {
            WeightType::PairedInt4 => WeightType::Int4,
            _ => WeightType::Int8,
        };
        rows.weights
            .resize(rows.weights.len().next_multiple_of(16), 0);
        *offset = WeightsOffset::new(u32::try_from(rows.weights.len()).ok()?);
        rows.weights.extend(packed);
    }
    Some(rows)
}

/// Weight `k` of an output channel, out of rows of `filled` weights each.
fn weight(
    section: &[i8],
    weight_type: WeightType,
    filled: usize,
    channel: usize,
    k: usize,
) -> Option<i8> {
    let (pair, second) = (channel / 2, channel % 2 == 1);
    if weight_type == WeightType::PairedInt4 {
        let byte = *section.get(pair * filled + k)? as u8;
        let nibble = if second { byte / 16 } else { byte % 16 };
        return Some(nibble as i8 - 8);
    }
    let place = ORDER.iter().position(|&of| of == k % 4)?;
    let at = 2 * (pair * filled + k / 4 * 4 + place);
    let halfword = i16::from_le_bytes([*section.get(at)? as u8, *section.get(at + 1)? as u8]);
    // 256 * w1 + w0, where w0 has a sign.
    let first = halfword as i8;
    let other = (i32::from(halfword) - i32::from(first)) / 256;
    Some(if second { other as i8 } else { first })
}
