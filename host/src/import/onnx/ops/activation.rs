//! Functions of one variable.

use super::super::call::Call;
use super::super::layout::View;
use crate::graph::{Activation, Op};
use crate::import::error::{OpResult, invalid, unsupported};

fn apply(call: &mut Call<'_, '_>, activation: Activation) -> OpResult<View> {
    let view = call.view(0)?;
    let tensor = call.emit(Op::Activation(activation), &[view.tensor])?;
    Ok(view.over(tensor))
}

pub(super) fn relu(call: &mut Call<'_, '_>) -> OpResult<View> {
    apply(call, Activation::Relu)
}

pub(super) fn sigmoid(call: &mut Call<'_, '_>) -> OpResult<View> {
    apply(call, Activation::Sigmoid)
}

pub(super) fn tanh(call: &mut Call<'_, '_>) -> OpResult<View> {
    apply(call, Activation::Tanh)
}

pub(super) fn hard_swish(call: &mut Call<'_, '_>) -> OpResult<View> {
    apply(call, Activation::HardSwish)
}

pub(super) fn leaky_relu(call: &mut Call<'_, '_>) -> OpResult<View> {
    let alpha = finite("alpha", call.attributes.float_or("alpha", 0.01)?)?;
    apply(call, Activation::LeakyRelu { alpha })
}

pub(super) fn hard_sigmoid(call: &mut Call<'_, '_>) -> OpResult<View> {
    let alpha = finite("alpha", call.attributes.float_or("alpha", 0.2)?)?;
    let beta = finite("beta", call.attributes.float_or("beta", 0.5)?)?;
    apply(call, Activation::HardSigmoid { alpha, beta })
}

/// PRelu with one slope for all channels.
pub(super) fn prelu(call: &mut Call<'_, '_>) -> OpResult<View> {
    let slope = call.required_constant(1)?;
    match slope.as_floats()? {
        [alpha, rest @ ..] if rest.iter().all(|value| value == alpha) => {
            let alpha = finite("slope", *alpha)?;
            apply(call, Activation::LeakyRelu { alpha })
        }
        _ => Err(unsupported(
            "the slopes differ between channels",
            "train with one slope (LeakyRelu)",
        )),
    }
}

/// Clip with constant bounds; a missing bound is infinite.
pub(super) fn clip(call: &mut Call<'_, '_>) -> OpResult<View> {
    let bound = |call: &mut Call<'_, '_>, name: &str, index: usize, missing: f32| {
        if let Some(value) = call.attributes.float(name)? {
            return Ok(value);
        }
        match call.constant(index)? {
            None => Ok(missing),
            Some(constant) => constant.scalar(),
        }
    };
    let min = bound(call, "min", 1, f32::NEG_INFINITY)?;
    let max = bound(call, "max", 2, f32::INFINITY)?;
    if min > max {
        return Err(unsupported(
            format!(
                "the lower bound {min} lies above the upper one, {max}, so every result is {max}"
            ),
            "give bounds that leave a range, or replace what depends on it by a constant",
        ));
    }
    if min == f32::INFINITY || max == f32::NEG_INFINITY {
        return Err(invalid(format!("the bounds are {min} and {max}")));
    }
    // The same function under its usual name.
    let activation = if min == 0.0 && max == f32::INFINITY {
        Activation::Relu
    } else {
        Activation::Clip { min, max }
    };
    apply(call, activation)
}

fn finite(name: &str, value: f32) -> OpResult<f32> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(invalid(format!("{name} is {value}")))
    }
}
