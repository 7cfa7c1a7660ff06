//! Fully connected layers.

use super::super::call::Call;
use super::super::constant::Constant;
use super::super::context::Value;
use super::super::layout::View;
use crate::graph::{Conv2d, Linear, Op, Window};
use crate::import::error::{ImportErrorKind, OpResult, invalid, unsupported};

/// Gemm: `alpha * a * b + beta * c` with constant `b` and `c`.
pub(super) fn gemm(call: &mut Call<'_, '_>) -> OpResult<View> {
    let mut view = call.view(0)?;
    let b = call.required_constant(1)?;
    let c = call.constant(2)?;
    let alpha = call.attributes.float_or("alpha", 1.0)?;
    let beta = call.attributes.float_or("beta", 1.0)?;
    let transposes_operand = call.attributes.flag("transA", false)?;
    let transposed = call.attributes.flag("transB", false)?;
    if view.rank() != 2 {
        return Err(invalid(format!(
            "operand 0 has {} axes, expected 2",
            view.rank()
        )));
    }
    if transposes_operand {
        if view.batch == Some(0) && !call.builder().is_single() {
            return Err(ImportErrorKind::MixesBatch(
                "transA turns the batch into columns".to_owned(),
            ));
        }
        view = view.swapped(0, 1);
    }
    let rows = rows_of(&b, transposed)?;
    let weights = rows.weights.iter().map(|&w| w * alpha).collect();
    let bias = match c {
        None => vec![0.0; rows.out_channels],
        Some(c) => gemm_bias(&c, rows.out_channels)?
            .iter()
            .map(|&value| value * beta)
            .collect(),
    };
    dense(call, &view, Rows { weights, ..rows }, bias)
}

/// The constant `c` of a Gemm for each output.
fn gemm_bias(c: &Constant, outputs: usize) -> OpResult<Vec<f32>> {
    let values = c.as_floats()?;
    match c.shape[..] {
        [] | [1] | [1, 1] => Ok(vec![values[0]; outputs]),
        [n] | [1, n] if n == outputs => Ok(values.to_vec()),
        _ => Err(invalid(format!(
            "operand 2 has the shape {:?}, expected [{outputs}]",
            c.shape
        ))),
    }
}

/// MatMul with one constant operand.
pub(super) fn matmul(call: &mut Call<'_, '_>) -> OpResult<View> {
    let (mut view, constant, is_right) = match (call.operand(0)?, call.operand(1)?) {
        (Value::View(view), Value::Constant(constant)) => (view, constant, true),
        (Value::Constant(constant), Value::View(view)) => (view, constant, false),
        _ => {
            return Err(unsupported(
                "both operands depend on the network's input",
                "one of them must be constant: this is not a network of fixed weights (attention is not supported)",
            ));
        }
    };
    let rank = view.rank();
    // Leading axes of 1 multiply every matrix alike.
    let units = constant.shape.len().saturating_sub(2);
    let matrix =
        if constant.shape.len() <= rank && constant.shape[..units].iter().all(|&dim| dim == 1) {
            Constant {
                shape: constant.shape[units..].to_vec(),
                data: constant.data.clone(),
            }
        } else {
            (*constant).clone()
        };
    if is_right {
        let rows = rows_of(&matrix, false)?;
        let bias = vec![0.0; rows.out_channels];
        return dense(call, &view, rows, bias);
    }
    if rank < 2 || rank < 3 && !call.builder().is_single() {
        return Err(ImportErrorKind::MixesBatch(
            "a constant left operand sums over the batch".to_owned(),
        ));
    }
    // A x = (x^T A^T)^T.
    let rows = rows_of(&matrix, true)?;
    let bias = vec![0.0; rows.out_channels];
    view = view.swapped(rank - 2, rank - 1);
    Ok(dense(call, &view, rows, bias)?.swapped(rank - 2, rank - 1))
}

/// A matrix with one row per output.
struct Rows {
    weights: Vec<f32>,
    in_channels: usize,
    out_channels: usize,
}

/// Rows of `b`, which is `[in, out]`, or `[out, in]` if `transposed`.
fn rows_of(b: &Constant, transposed: bool) -> OpResult<Rows> {
    let values = b.as_floats()?;
    let (in_channels, out_channels) = match (&b.shape[..], transposed) {
        (&[inputs, outputs], false) | (&[outputs, inputs], true) => (inputs, outputs),
        (shape, _) => {
            return Err(unsupported(
                format!("the constant operand has the shape {shape:?}"),
                "supported is a constant matrix, with axes of 1 in front at most",
            ));
        }
    };
    if values.is_empty() {
        return Err(invalid(format!("operand 1 has the shape {:?}", b.shape)));
    }
    let weights = if transposed {
        values.to_vec()
    } else {
        (0..out_channels)
            .flat_map(|output| values[output..].iter().step_by(out_channels))
            .copied()
            .collect()
    };
    Ok(Rows {
        weights,
        in_channels,
        out_channels,
    })
}

/// Multiplies the last axis. With several positions along the axes between, this is a convolution with a kernel of 1.
fn dense(call: &mut Call<'_, '_>, view: &View, rows: Rows, bias: Vec<f32>) -> OpResult<View> {
    let builder = call.builder();
    if builder.is_single() && view.axes.first().is_some_and(|first| !first.is_empty()) {
        // The rows of one sample lie along axis 0: one more axis in front is the batch.
        let mut with_batch = view.clone();
        with_batch.batch = None;
        with_batch.insert_axis(0);
        let mut result = dense(call, &with_batch, rows, bias)?;
        result.remove_axis(0);
        return Ok(result);
    }
    let view = &builder.batch_first(view)?;
    let rank = view.rank();
    let shape = builder.shape(view);
    let Rows {
        mut weights,
        in_channels,
        out_channels,
    } = rows;
    if rank < 2 || shape[rank - 1] != in_channels {
        return Err(invalid(format!(
            "operand 0 has the shape {shape:?}, the weights want {in_channels} at its end"
        )));
    }
    let between: usize = shape[1..rank - 1].iter().product();
    if between == 1 {
        // Any storage will do: the columns follow it.
        let positions = builder.positions(view);
        if !positions.is_sorted() {
            for row in weights.chunks_exact_mut(in_channels) {
                let original = row.to_vec();
                for (value, &position) in original.iter().zip(&positions) {
                    row[position] = *value;
                }
            }
        }
        let op = Op::FullyConnected(Linear {
            weights,
            bias,
            out_channels,
            folded: None,
        });
        let tensor = call.emit(op, &[view.tensor])?;
        return Ok(call.builder().view(tensor, rank, &[Some(rank - 1)]));
    }
    let ordered = builder.onnx_order(view)?;
    let pixels = builder.reshape_stored(ordered.tensor, &[1, between, in_channels])?;
    let op = Op::Conv2d(Conv2d {
        linear: Linear {
            weights,
            bias,
            out_channels,
            folded: None,
        },
        in_channels,
        groups: 1,
        window: Window::new([1, 1]),
    });
    let tensor = call.emit(op, &[pixels])?;
    let mut stored = shape[1..].to_vec();
    stored[rank - 2] = out_channels;
    // [1, l, c] serves a sequence [n, l, c] as it is; more axes need a shape of their own.
    if rank == 3 {
        return Ok(call.builder().view(tensor, rank, &[None, Some(1), Some(2)]));
    }
    let tensor = call.builder().reshape_stored(tensor, &stored)?;
    let order: Vec<_> = (1..rank).map(Some).collect();
    Ok(call.builder().view(tensor, rank, &order))
}
