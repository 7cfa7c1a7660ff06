//! Operators of the file, one module a family, and the refusal of all others.

mod activation;
mod conv;
mod dense;
mod elementwise;
mod join;
mod norm;
mod pool;
mod refused;
mod reshape;

use std::rc::Rc;

use super::call::Call;
use super::context::{Value, is_default_domain};
use super::flatten::is_if;
use super::fold;
use super::layout::View;
use super::proto::NodeProto;
use crate::import::error::OpResult;

#[cfg(test)]
pub(super) use refused::with_way_out;

/// Imports one operator.
pub(super) fn import(call: &mut Call<'_, '_>) -> OpResult<Value> {
    let op = call.node.op_type.as_str();
    let Some(import) = find(op) else {
        // What only shapes and weights are computed with has no counterpart in the graph.
        return match fold::fold(call)? {
            Some(constant) => Ok(Value::Constant(Rc::new(constant))),
            None => Err(refused::refuse(op)),
        };
    };
    if let Some(constant) = fold::fold(call)? {
        return Ok(Value::Constant(Rc::new(constant)));
    }
    import(call).map(Value::View)
}

/// Refuses an operator that is neither imported nor folded, with any operands.
pub(super) fn require_known(node: &NodeProto) -> OpResult<()> {
    let op = node.op_type.as_str();
    if !is_default_domain(&node.domain) {
        return Err(refused::refuse_domain(&node.domain, op));
    }
    if find(op).is_some() || fold::FOLDED.contains(&op) || is_if(node) {
        return Ok(());
    }
    Err(refused::refuse(op))
}

/// Refuses an operator of values of the network that is taken with constants only.
pub(super) fn require_taking_values(node: &NodeProto) -> OpResult<()> {
    let op = node.op_type.as_str();
    if find(op).is_some() || fold::OF_SHAPES.contains(&op) {
        return Ok(());
    }
    Err(refused::refuse(op))
}

/// Number of operators that [`find`] knows, and whether it knows one: what the table of operators is tested against.
#[cfg(test)]
pub(super) const IMPORTED: usize = 35;

#[cfg(test)]
pub(super) fn is_imported(op: &str) -> bool {
    find(op).is_some()
}

/// The function that imports an operator with a counterpart in the graph.
fn find(op: &str) -> Option<fn(&mut Call<'_, '_>) -> OpResult<View>> {
    Some(match op {
        "Conv" => conv::conv,
        "Gemm" => dense::gemm,
        "MatMul" => dense::matmul,
        "BatchNormalization" => norm::batch_normalization,
        "Softmax" => norm::softmax,
        "Relu" => activation::relu,
        "Clip" => activation::clip,
        "LeakyRelu" => activation::leaky_relu,
        "PRelu" => activation::prelu,
        "Sigmoid" => activation::sigmoid,
        "HardSigmoid" => activation::hard_sigmoid,
        "HardSwish" => activation::hard_swish,
        "Tanh" => activation::tanh,
        "Add" => elementwise::add,
        "Sum" => elementwise::sum,
        "Sub" => elementwise::sub,
        "Mul" => elementwise::mul,
        "Div" => elementwise::div,
        "Max" => elementwise::max,
        "Min" => elementwise::min,
        "MaxPool" => pool::max_pool,
        "AveragePool" => pool::average_pool,
        "GlobalMaxPool" => pool::global_max_pool,
        "GlobalAveragePool" => pool::global_average_pool,
        "ReduceMean" => pool::reduce_mean,
        "Flatten" => reshape::flatten,
        "Reshape" => reshape::reshape,
        "Squeeze" => reshape::squeeze,
        "Unsqueeze" => reshape::unsqueeze,
        "Transpose" => reshape::transpose,
        "Identity" => reshape::identity,
        "Dropout" => reshape::dropout,
        "Cast" => reshape::cast,
        "Concat" => join::concat,
        "Pad" => join::pad,
        _ => return None,
    })
}
