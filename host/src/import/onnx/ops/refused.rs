//! The one place where operators are refused, with what to do instead.

use crate::import::error::ImportErrorKind;

/// Operators that are known, not supported, and have a way out of their own.
const WAYS_OUT: &[(&[&str], &str)] = &[
    (
        &[
            "QuantizeLinear",
            "DequantizeLinear",
            "DynamicQuantizeLinear",
            "QLinearConv",
            "QLinearMatMul",
            "ConvInteger",
            "MatMulInteger",
        ],
        "the model is quantized already: give the float model it was made from",
    ),
    (
        &["LSTM", "GRU", "RNN", "Loop", "Scan"],
        "use a network without recurrence and control flow, such as convolutions over the time axis",
    ),
    (
        &[
            "ConvTranspose",
            "Resize",
            "Upsample",
            "DepthToSpace",
            "SpaceToDepth",
        ],
        "choose an output before it, or use a network that does not enlarge images",
    ),
    (
        &[
            "LayerNormalization",
            "InstanceNormalization",
            "GroupNormalization",
            "LpNormalization",
            "LRN",
            "MeanVarianceNormalization",
        ],
        "train with BatchNormalization, which costs nothing at inference",
    ),
    (
        &[
            "Gelu",
            "Elu",
            "Selu",
            "Celu",
            "Mish",
            "Erf",
            "Softplus",
            "Softsign",
            "ThresholdedRelu",
        ],
        "train with Relu, Relu6, HardSwish, Sigmoid or Tanh",
    ),
    (
        &[
            "ArgMax",
            "TopK",
            "NonMaxSuppression",
            "LogSoftmax",
            "Exp",
            "Log",
            "Sqrt",
            "Pow",
            "Abs",
            "Neg",
            "Reciprocal",
        ],
        "choose an output before it and compute it from the network's result",
    ),
    (
        &[
            "Gather",
            "Slice",
            "Split",
            "Expand",
            "Where",
            "Equal",
            "Range",
            "ConstantOfShape",
            "NonZero",
            "Tile",
        ],
        "values of the network cannot be cut, chosen or repeated yet, only shapes and constants: choose an output before it, or do it outside the network",
    ),
    (
        &[
            "ReduceMax",
            "ReduceMin",
            "ReduceSum",
            "ReduceL2",
            "ReduceProd",
        ],
        "use ReduceMean, GlobalAveragePool or GlobalMaxPool",
    ),
    (&["Mean"], "use Add and Mul"),
    (
        &["Einsum", "Attention", "MultiHeadAttention"],
        "use a network of convolutions and fully connected layers",
    ),
];

/// All operators with a way out of their own.
#[cfg(test)]
pub(in super::super) fn with_way_out() -> impl Iterator<Item = &'static str> {
    WAYS_OUT.iter().flat_map(|(ops, _)| *ops).copied()
}

/// For operators that no row names.
const GENERAL_WAY_OUT: &str = "express it in the source model by convolutions, Gemm, MatMul, pools, Add, Mul, Concat and activations, \
     or choose an output before it";

/// The error for an operator that is not supported.
pub(super) fn refuse(op: &str) -> ImportErrorKind {
    let help = WAYS_OUT
        .iter()
        .find(|(ops, _)| ops.contains(&op))
        .map_or(GENERAL_WAY_OUT, |(_, help)| help);
    ImportErrorKind::UnsupportedOperator { help }
}

/// Whether an operator of onnxruntime's own computes with integers or with packed weights.
fn is_quantized(op: &str) -> bool {
    op.starts_with('Q')
        || ["Quant", "quant", "Integer", "NBits", "Bnb4", "Fp4", "FpQ4"]
            .iter()
            .any(|part| op.contains(part))
}

/// The error for an operator of another domain than ONNX's own.
pub(super) fn refuse_domain(domain: &str, op: &str) -> ImportErrorKind {
    let help = match (domain, op) {
        ("ai.onnx.ml", "Scaler" | "Normalizer" | "Imputer") => {
            "it prepares the inputs of a scikit-learn pipeline: leave it out of the export, and give what it subtracts and divides by as --input-mean and --input-std, one value for each feature"
        }
        ("ai.onnx.ml", "ZipMap") => {
            "it turns scores into a dictionary: export with `zipmap=False`, or choose the output before it with --output-tensor"
        }
        ("ai.onnx.ml", _) => {
            "it belongs to classical machine learning: use a network of fully connected layers or convolutions"
        }
        ("com.microsoft", op) if is_quantized(op) => {
            "the model is quantized already: give the float model it was made from"
        }
        _ => {
            "it is not an operator of ONNX but of an extension: export without runtime-specific optimisation"
        }
    };
    ImportErrorKind::UnsupportedOperator { help }
}
