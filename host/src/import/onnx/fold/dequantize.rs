//! Weights that are stored as integers with a scale.

use super::super::call::{Call, axis};
use super::super::constant::{Constant, Data};
use crate::import::error::{OpResult, invalid};

/// DequantizeLinear: `(x - zero_point) * scale`, with one scale, one for each index along `axis`, or one for each block of `block_size` elements along it.
pub(super) fn dequantize(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let Data::Int(values) = &operand.data else {
        return Err(invalid("operand 0 holds floats, expected integers"));
    };
    let scale = call.required_constant(1)?;
    let zero_point = call.constant(2)?;
    let along = call.attributes.int_or("axis", 1)?;
    let block = call.attributes.int_or("block_size", 0)?;
    call.builder().spend(2 * values.len())?;
    let scales = scale.as_floats()?;
    let zero_points = match &zero_point {
        None => vec![0; scales.len()],
        Some(constant) => match &constant.data {
            Data::Int(values) if values.len() == scales.len() => values.clone(),
            _ => return Err(invalid("scale and zero point differ in length or type")),
        },
    };
    // For each element the index of its scale.
    let index = if scales.len() == 1 && block == 0 {
        vec![0; values.len()]
    } else {
        let axis = axis(along, operand.shape.len())?;
        let size = operand.shape[axis];
        let block = usize::try_from(block).map_err(|_| {
            invalid(format!(
                "attribute `block_size` is {block}; it has to be 0, for none, or more"
            ))
        })?;
        let mut blocks = operand.shape.clone();
        let expected = match block {
            0 => &operand.shape[axis..=axis],
            _ => {
                blocks[axis] = size.div_ceil(block);
                &blocks[..]
            }
        };
        if scale.shape != expected {
            return Err(invalid(format!(
                "scales of the shape {:?} do not fit axis {axis} of {:?}, expected {expected:?}",
                scale.shape, operand.shape
            )));
        }
        let inner: usize = operand.shape[axis + 1..].iter().product();
        let place = |at: usize| match block {
            0 => at / inner % size,
            _ => {
                let outer = at / (inner * size);
                (outer * blocks[axis] + at / inner % size / block) * inner + at % inner
            }
        };
        (0..values.len()).map(place).collect()
    };
    let real = |(&value, &index): (&i64, &usize)| {
        let difference = value.checked_sub(zero_points[index])?;
        Some(difference as f32 * scales[index])
    };
    let floats = values.iter().zip(&index).map(real).collect::<Option<_>>();
    let floats = floats.ok_or_else(|| invalid("an integer is larger than one can be"))?;
    Ok(Constant::floats(operand.shape.clone(), floats))
}
