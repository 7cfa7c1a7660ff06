//! Attributes and operands of each operator per opset, and their treatment.
//!
//! One row per operator: the opsets in which it changed, with the numbers of its operands, and every attribute that it has in any opset that is read.
//! Most versions differ in element types alone, which do not matter here.

use super::kind::{FLOAT, FLOATS, GRAPH, INT, INTS, SPARSE_TENSOR, STRING, STRINGS, TENSOR};
use super::proto::NodeProto;
use crate::import::error::{OpResult, invalid, unsupported};

/// Treatment of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Treatment {
    /// It has the meaning of the operator's definition.
    Honoured,
    /// Any other value than this is refused.
    Only(&'static str),
    /// Any value is refused.
    Never,
    /// It may have any value, which changes nothing, for this reason.
    NoEffect(&'static str),
}

/// An attribute of an operator in some opsets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    /// The type, as `AttributeProto.type` numbers it.
    pub(super) kind: i32,
    /// The first opset that has it.
    pub(super) since: i64,
    /// The last opset that has it.
    pub(super) until: i64,
    pub(super) treatment: Treatment,
}

impl Attribute {
    const fn since(self, since: i64) -> Self {
        Attribute { since, ..self }
    }

    const fn until(self, until: i64) -> Self {
        Attribute { until, ..self }
    }

    /// Whether operators of this opset have the attribute.
    #[cfg(test)]
    pub(super) fn is_in(&self, opset: i64) -> bool {
        (self.since..=self.until).contains(&opset)
    }
}

const fn attribute(name: &'static str, kind: i32, treatment: Treatment) -> Attribute {
    Attribute {
        name,
        kind,
        since: i64::MIN,
        until: i64::MAX,
        treatment,
    }
}

const fn honoured(name: &'static str, kind: i32) -> Attribute {
    attribute(name, kind, Treatment::Honoured)
}

const fn only(name: &'static str, kind: i32, value: &'static str) -> Attribute {
    attribute(name, kind, Treatment::Only(value))
}

const fn never(name: &'static str, kind: i32) -> Attribute {
    attribute(name, kind, Treatment::Never)
}

const fn no_effect(name: &'static str, kind: i32, reason: &'static str) -> Attribute {
    attribute(name, kind, Treatment::NoEffect(reason))
}

/// An operator in all opsets that are read.
pub(super) struct Operator {
    pub(super) name: &'static str,
    /// For each version the opset since which it holds, and the least and the largest number of operands.
    pub(super) versions: &'static [(i64, usize, usize)],
    pub(super) attributes: &'static [Attribute],
}

const fn op(
    name: &'static str,
    versions: &'static [(i64, usize, usize)],
    attributes: &'static [Attribute],
) -> Operator {
    Operator {
        name,
        versions,
        attributes,
    }
}

/// Any number of operands.
const MANY: usize = usize::MAX;

/// Attributes of reductions whose axes became an operand with opset 18.
const REDUCTION: &[Attribute] = &[
    honoured("axes", INTS).until(17),
    honoured("keepdims", INT),
    honoured("noop_with_empty_axes", INT).since(18),
];

/// Every operator that is imported or folded, in alphabetical order.
#[rustfmt::skip]
pub(super) const OPERATORS: &[Operator] = &[
    op("Abs", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("Add", &[(7, 2, 2), (13, 2, 2), (14, 2, 2)], &[]),
    op("And", &[(7, 2, 2)], &[]),
    op("AveragePool", &[(7, 1, 1), (10, 1, 1), (11, 1, 1), (19, 1, 1), (22, 1, 1)], &[
        honoured("auto_pad", STRING),
        honoured("ceil_mode", INT).since(10),
        honoured("count_include_pad", INT),
        honoured("dilations", INTS).since(19),
        honoured("kernel_shape", INTS),
        honoured("pads", INTS),
        honoured("strides", INTS),
    ]),
    op("BatchNormalization", &[(7, 5, 5), (9, 5, 5), (14, 5, 5), (15, 5, 5)], &[
        honoured("epsilon", FLOAT),
        no_effect("momentum", FLOAT, "only training reads it"),
        only("spatial", INT, "1").until(8),
        only("training_mode", INT, "0").since(14),
    ]),
    op("Cast", &[(6, 1, 1), (9, 1, 1), (13, 1, 1), (19, 1, 1), (21, 1, 1), (23, 1, 1), (24, 1, 1)], &[
        no_effect("round_mode", STRING, "it concerns floats of 8 bits, which are refused").since(24),
        no_effect("saturate", INT, "it concerns floats of 8 bits, which are refused").since(19),
        honoured("to", INT),
    ]),
    op("Ceil", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("Clip", &[(6, 1, 1), (11, 1, 3), (12, 1, 3), (13, 1, 3)], &[
        honoured("max", FLOAT).until(10),
        honoured("min", FLOAT).until(10),
    ]),
    op("Concat", &[(4, 1, MANY), (11, 1, MANY), (13, 1, MANY)], &[honoured("axis", INT)]),
    op("Constant", &[(1, 0, 0), (9, 0, 0), (11, 0, 0), (12, 0, 0), (13, 0, 0), (19, 0, 0), (21, 0, 0), (23, 0, 0), (24, 0, 0)], &[
        never("sparse_value", SPARSE_TENSOR).since(11),
        honoured("value", TENSOR),
        honoured("value_float", FLOAT).since(12),
        honoured("value_floats", FLOATS).since(12),
        honoured("value_int", INT).since(12),
        honoured("value_ints", INTS).since(12),
        never("value_string", STRING).since(12),
        never("value_strings", STRINGS).since(12),
    ]),
    op("ConstantOfShape", &[(9, 1, 1), (20, 1, 1), (21, 1, 1), (23, 1, 1), (24, 1, 1)], &[
        honoured("value", TENSOR),
    ]),
    op("Conv", &[(1, 2, 3), (11, 2, 3), (22, 2, 3)], &[
        honoured("auto_pad", STRING),
        honoured("dilations", INTS),
        honoured("group", INT),
        honoured("kernel_shape", INTS),
        honoured("pads", INTS),
        honoured("strides", INTS),
    ]),
    op("DequantizeLinear", &[(10, 2, 3), (13, 2, 3), (19, 2, 3), (21, 2, 3), (23, 2, 3), (24, 2, 3)], &[
        honoured("axis", INT).since(13),
        honoured("block_size", INT).since(21),
        no_effect("output_dtype", INT, "all floats become 32 bits wide").since(23),
    ]),
    op("Div", &[(7, 2, 2), (13, 2, 2), (14, 2, 2)], &[]),
    op("Dropout", &[(7, 1, 1), (10, 1, 1), (12, 1, 3), (13, 1, 3), (22, 1, 3)], &[
        no_effect("ratio", FLOAT, "nothing is dropped at inference").until(11),
        no_effect("seed", INT, "nothing is dropped at inference").since(12),
    ]),
    op("Equal", &[(7, 2, 2), (11, 2, 2), (13, 2, 2), (19, 2, 2)], &[]),
    op("Exp", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("Expand", &[(8, 2, 2), (13, 2, 2)], &[]),
    op("Flatten", &[(1, 1, 1), (9, 1, 1), (11, 1, 1), (13, 1, 1), (21, 1, 1), (23, 1, 1), (24, 1, 1)], &[
        honoured("axis", INT),
    ]),
    op("Floor", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("Gather", &[(1, 2, 2), (11, 2, 2), (13, 2, 2)], &[honoured("axis", INT)]),
    op("Gemm", &[(7, 3, 3), (9, 3, 3), (11, 2, 3), (13, 2, 3)], &[
        honoured("alpha", FLOAT),
        honoured("beta", FLOAT),
        only("transA", INT, "0"),
        honoured("transB", INT),
    ]),
    op("GlobalAveragePool", &[(1, 1, 1), (22, 1, 1)], &[]),
    op("GlobalMaxPool", &[(1, 1, 1), (22, 1, 1)], &[]),
    op("Greater", &[(7, 2, 2), (9, 2, 2), (13, 2, 2)], &[]),
    op("GreaterOrEqual", &[(12, 2, 2), (16, 2, 2)], &[]),
    op("HardSigmoid", &[(6, 1, 1), (22, 1, 1)], &[
        honoured("alpha", FLOAT),
        honoured("beta", FLOAT),
    ]),
    op("HardSwish", &[(14, 1, 1), (22, 1, 1)], &[]),
    op("Identity", &[(1, 1, 1), (13, 1, 1), (14, 1, 1), (16, 1, 1), (19, 1, 1), (21, 1, 1), (23, 1, 1), (24, 1, 1)], &[]),
    op("If", &[(1, 1, 1), (11, 1, 1), (13, 1, 1), (16, 1, 1), (19, 1, 1), (21, 1, 1), (23, 1, 1), (24, 1, 1)], &[
        honoured("else_branch", GRAPH),
        honoured("then_branch", GRAPH),
    ]),
    op("LeakyRelu", &[(6, 1, 1), (16, 1, 1)], &[honoured("alpha", FLOAT)]),
    op("Less", &[(7, 2, 2), (9, 2, 2), (13, 2, 2)], &[]),
    op("LessOrEqual", &[(12, 2, 2), (16, 2, 2)], &[]),
    op("Log", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("MatMul", &[(1, 2, 2), (9, 2, 2), (13, 2, 2)], &[]),
    op("Max", &[(6, 1, MANY), (8, 1, MANY), (12, 1, MANY), (13, 1, MANY)], &[]),
    op("MaxPool", &[(1, 1, 1), (8, 1, 1), (10, 1, 1), (11, 1, 1), (12, 1, 1), (22, 1, 1)], &[
        honoured("auto_pad", STRING),
        honoured("ceil_mode", INT).since(10),
        honoured("dilations", INTS).since(10),
        honoured("kernel_shape", INTS),
        honoured("pads", INTS),
        no_effect("storage_order", INT, "it concerns the indices, whose use is refused").since(8),
        honoured("strides", INTS),
    ]),
    op("Min", &[(6, 1, MANY), (8, 1, MANY), (12, 1, MANY), (13, 1, MANY)], &[]),
    op("Mod", &[(10, 2, 2), (13, 2, 2)], &[honoured("fmod", INT)]),
    op("Mul", &[(7, 2, 2), (13, 2, 2), (14, 2, 2)], &[]),
    op("Neg", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("Not", &[(1, 1, 1)], &[]),
    op("Or", &[(7, 2, 2)], &[]),
    op("PRelu", &[(7, 2, 2), (9, 2, 2), (16, 2, 2)], &[]),
    op("Pad", &[(2, 1, 1), (11, 2, 3), (13, 2, 3), (18, 2, 4), (19, 2, 4), (21, 2, 4), (23, 2, 4), (24, 2, 4)], &[
        only("mode", STRING, "constant"),
        honoured("pads", INTS).until(10),
        honoured("value", FLOAT).until(10),
    ]),
    op("Pow", &[(7, 2, 2), (12, 2, 2), (13, 2, 2), (15, 2, 2)], &[]),
    op("Range", &[(11, 3, 3)], &[]),
    op("Reciprocal", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("ReduceL1", &[(1, 1, 1), (11, 1, 1), (13, 1, 1), (18, 1, 2)], REDUCTION),
    op("ReduceL2", &[(1, 1, 1), (11, 1, 1), (13, 1, 1), (18, 1, 2)], REDUCTION),
    op("ReduceMax", &[(1, 1, 1), (11, 1, 1), (12, 1, 1), (13, 1, 1), (18, 1, 2), (20, 1, 2)], REDUCTION),
    op("ReduceMean", &[(1, 1, 1), (11, 1, 1), (13, 1, 1), (18, 1, 2)], REDUCTION),
    op("ReduceMin", &[(1, 1, 1), (11, 1, 1), (12, 1, 1), (13, 1, 1), (18, 1, 2), (20, 1, 2)], REDUCTION),
    op("ReduceProd", &[(1, 1, 1), (11, 1, 1), (13, 1, 1), (18, 1, 2)], REDUCTION),
    op("ReduceSum", &[(1, 1, 1), (11, 1, 1), (13, 1, 2)], &[
        honoured("axes", INTS).until(12),
        honoured("keepdims", INT),
        honoured("noop_with_empty_axes", INT).since(13),
    ]),
    op("ReduceSumSquare", &[(1, 1, 1), (11, 1, 1), (13, 1, 1), (18, 1, 2)], REDUCTION),
    op("Relu", &[(6, 1, 1), (13, 1, 1), (14, 1, 1)], &[]),
    op("Reshape", &[(5, 2, 2), (13, 2, 2), (14, 2, 2), (19, 2, 2), (21, 2, 2), (23, 2, 2), (24, 2, 2)], &[
        honoured("allowzero", INT).since(14),
    ]),
    op("Round", &[(11, 1, 1), (22, 1, 1)], &[]),
    op("Shape", &[(1, 1, 1), (13, 1, 1), (15, 1, 1), (19, 1, 1), (21, 1, 1), (23, 1, 1), (24, 1, 1)], &[
        honoured("end", INT).since(15),
        honoured("start", INT).since(15),
    ]),
    op("Sigmoid", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("Sign", &[(9, 1, 1), (13, 1, 1)], &[]),
    op("Size", &[(1, 1, 1), (13, 1, 1), (19, 1, 1), (21, 1, 1), (23, 1, 1), (24, 1, 1)], &[]),
    op("Slice", &[(1, 1, 1), (10, 3, 5), (11, 3, 5), (13, 3, 5)], &[
        honoured("axes", INTS).until(9),
        honoured("ends", INTS).until(9),
        honoured("starts", INTS).until(9),
    ]),
    op("Softmax", &[(1, 1, 1), (11, 1, 1), (13, 1, 1)], &[honoured("axis", INT)]),
    op("Sqrt", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("Squeeze", &[(1, 1, 1), (11, 1, 1), (13, 1, 2), (21, 1, 2), (23, 1, 2), (24, 1, 2)], &[
        honoured("axes", INTS).until(12),
    ]),
    op("Sub", &[(7, 2, 2), (13, 2, 2), (14, 2, 2)], &[]),
    op("Sum", &[(6, 1, MANY), (8, 1, MANY), (13, 1, MANY)], &[]),
    op("Tanh", &[(6, 1, 1), (13, 1, 1)], &[]),
    op("Tile", &[(6, 2, 2), (13, 2, 2)], &[]),
    op("Transpose", &[(1, 1, 1), (13, 1, 1), (21, 1, 1), (23, 1, 1), (24, 1, 1)], &[
        honoured("perm", INTS),
    ]),
    op("Unsqueeze", &[(1, 1, 1), (11, 1, 1), (13, 2, 2), (21, 2, 2), (23, 2, 2), (24, 2, 2)], &[
        honoured("axes", INTS).until(12),
    ]),
    op("Where", &[(9, 3, 3), (16, 3, 3)], &[]),
];

/// The row of an operator.
pub(super) fn find(name: &str) -> Option<&'static Operator> {
    let index = OPERATORS.binary_search_by(|operator| operator.name.cmp(name));
    index.ok().map(|index| &OPERATORS[index])
}

/// Whether the attribute of this operator changes nothing.
pub(super) fn has_no_effect(operator: &str, attribute: &str) -> bool {
    find(operator).is_some_and(|operator| {
        operator
            .attributes
            .iter()
            .any(|row| row.name == attribute && matches!(row.treatment, Treatment::NoEffect(_)))
    })
}

/// Refuses a node that is not an operator of its opset: unknown there, with other attributes or numbers of operands.
pub(super) fn check(node: &NodeProto, opset: i64) -> OpResult<()> {
    let Some(operator) = find(&node.op_type) else {
        return Ok(());
    };
    let version = operator
        .versions
        .iter()
        .rev()
        .find(|version| version.0 <= opset);
    let Some(&(_, least, most)) = version else {
        let first = operator.versions.first().map_or(0, |version| version.0);
        return Err(unsupported(
            format!("the operator is there from opset {first} on, and the file says {opset}"),
            "export the model again, for instance with opset 17",
        ));
    };
    for given in &node.attribute {
        let name = &given.name;
        let Some(row) = operator.attributes.iter().find(|row| row.name == name) else {
            return Err(invalid(format!(
                "attribute `{name}` is not part of this operator"
            )));
        };
        if opset > row.until {
            return Err(invalid(format!(
                "attribute `{name}` is part of this operator up to opset {}, and the file says {opset}",
                row.until
            )));
        }
        if opset < row.since {
            return Err(invalid(format!(
                "attribute `{name}` is part of this operator from opset {} on, and the file says {opset}",
                row.since
            )));
        }
        if given.r#type != row.kind && given.ref_attr_name.is_empty() {
            return Err(invalid(format!(
                "attribute `{name}` has type {}, expected {}",
                given.r#type,
                kind_name(row.kind)
            )));
        }
        if row.treatment == Treatment::Never {
            return Err(unsupported(
                format!("attribute `{name}` is not supported"),
                "store it as a dense tensor of numbers",
            ));
        }
    }
    let found = node.input.len();
    if found < least || found > most {
        let expected = match most {
            _ if most == least => format!("{least}"),
            MANY => format!("at least {least}"),
            _ => format!("{least} to {most}"),
        };
        return Err(invalid(format!(
            "has {found} operands, expected {expected} in opset {opset}"
        )));
    }
    Ok(())
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        FLOAT => "a float",
        INT => "an integer",
        STRING => "a string",
        TENSOR => "a tensor",
        GRAPH => "a graph",
        FLOATS => "a list of floats",
        INTS => "a list of integers",
        STRINGS => "a list of strings",
        _ => "a sparse tensor",
    }
}
