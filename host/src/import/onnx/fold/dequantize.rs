//! Weights that are stored as integers with a scale.

use super::super::call::{Call, axis};
use super::super::constant::{Constant, Data};
use super::super::layout::{strides, walk};
use crate::import::error::{OpResult, invalid, unsupported};

/// DequantizeLinear: `(x - zero_point) * scale`, with one scale, or one for each index along `axis`.
pub(super) fn dequantize(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let Data::Int(values) = &operand.data else {
        return Err(invalid("operand 0 holds floats, expected integers"));
    };
    let scale = call.required_constant(1)?;
    let zero_point = call.constant(2)?;
    let along = call.attributes.int_or("axis", 1)?;
    let block = call.attributes.int_or("block_size", 0)?;
    if block != 0 {
        return Err(unsupported(
            format!("block_size is {block}: scales hold for blocks of weights"),
            "store the weights as floats, or with one scale for each output channel",
        ));
    }
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
    let index = if scales.len() == 1 {
        vec![0; values.len()]
    } else {
        let axis = axis(along, operand.shape.len())?;
        if scale.shape != [operand.shape[axis]] {
            return Err(invalid(format!(
                "scales of the shape {:?} do not fit axis {axis} of {:?}",
                scale.shape, operand.shape
            )));
        }
        let mut steps = vec![0; strides(&operand.shape).len()];
        steps[axis] = 1;
        walk(&operand.shape, &steps)
    };
    let real = |(&value, &index): (&i64, &usize)| {
        let difference = value.checked_sub(zero_points[index])?;
        Some(difference as f32 * scales[index])
    };
    let floats = values.iter().zip(&index).map(real).collect::<Option<_>>();
    let floats = floats.ok_or_else(|| invalid("an integer is larger than one can be"))?;
    Ok(Constant::floats(operand.shape.clone(), floats))
}
