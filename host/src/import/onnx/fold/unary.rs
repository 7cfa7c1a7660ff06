//! Functions of one constant.

use super::super::call::Call;
use super::super::constant::{Constant, Data};
use crate::import::error::{OpResult, invalid};

/// The operator as a function of floats, if it is one.
pub(super) fn function(op: &str) -> Option<fn(f32) -> f32> {
    Some(match op {
        "Abs" => f32::abs,
        "Ceil" => f32::ceil,
        "Exp" => libm::expf,
        "Floor" => f32::floor,
        "Log" => libm::logf,
        "Neg" => |x| -x,
        "Not" => |x| f32::from(x == 0.0),
        "Reciprocal" => |x| 1.0 / x,
        "Relu" => |x| x.max(0.0),
        "Round" => f32::round_ties_even,
        "Sigmoid" => |x| 1.0 / (1.0 + libm::expf(-x)),
        "Sign" => |x| if x == 0.0 { 0.0 } else { x.signum() },
        "Sqrt" => f32::sqrt,
        "Tanh" => libm::tanhf,
        _ => return None,
    })
}

/// The same on integers, for those that have one.
fn integer(op: &str, value: i64) -> Option<i64> {
    match op {
        "Abs" => value.checked_abs(),
        "Neg" => value.checked_neg(),
        "Not" => Some(i64::from(value == 0)),
        "Relu" => Some(value.max(0)),
        "Sign" => Some(value.signum()),
        _ => None,
    }
}

pub(super) fn unary(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    call.builder().spend(operand.len())?;
    let op = call.node.op_type.as_str();
    let data = match (&operand.data, function(op)) {
        (Data::Float(values), Some(function)) => {
            Data::Float(values.iter().map(|&value| function(value)).collect())
        }
        (Data::Int(values), _) => Data::Int(
            (values.iter().map(|&value| integer(op, value)))
                .collect::<Option<_>>()
                .ok_or_else(|| invalid("its operand holds integers, expected floats"))?,
        ),
        (Data::Float(_), None) => return Err(invalid("is not a function of one operand")),
    };
    Ok(Constant {
        shape: operand.shape.clone(),
        data,
    })
}
