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
        &["LSTM", "GRU", "RNN", "Loop", "Scan", "If"],
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
            "Shape",
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
            "Size",
        ],
        "supported is only what shapes and constants are computed with: export with fixed sizes and simplify, for instance with onnxsim",
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
    (
        &["Max", "Min", "Sum", "Mean"],
        "use Clip for bounds, Add for sums",
    ),
    (
        &["Einsum", "Attention", "MultiHeadAttention"],
        "use a network of convolutions and fully connected layers",
    ),
];

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

/// The error for an operator of another domain than ONNX's own.
pub(super) fn refuse_domain() -> ImportErrorKind {
    ImportErrorKind::UnsupportedOperator {
        help: "it is no operator of ONNX itself but of an extension: export without runtime-specific optimisation",
    }
}
