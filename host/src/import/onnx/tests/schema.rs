//! The table of operators against ONNX's own schemas, and each of its attributes against what is done with it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::schema::{Attribute, OPERATORS, Operator, Treatment, find};
use super::super::{OPSETS, fold, ops};
use super::*;

/// A line of `schemas.txt`: a version of an operator.
struct Version<'a> {
    since: i64,
    least: usize,
    most: usize,
    /// Name and type of each attribute, and its default.
    attributes: Vec<(&'a str, &'a str, &'a str)>,
}

fn versions() -> BTreeMap<&'static str, Vec<Version<'static>>> {
    let mut all: BTreeMap<&str, Vec<Version<'_>>> = BTreeMap::new();
    for line in include_str!("schemas.txt").lines().skip(1) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, since, least, most, attributes @ ..] = &fields[..] else {
            panic!("{line}");
        };
        let attributes = attributes.iter().map(|attribute| {
            let (name, rest) = attribute.split_once(':').unwrap();
            let (kind, default) = rest.split_once('=').unwrap_or((rest, ""));
            (name, kind.trim_end_matches('!'), default)
        });
        all.entry(name).or_default().push(Version {
            since: since.parse().unwrap(),
            least: least.parse().unwrap(),
            most: most.parse().unwrap_or(usize::MAX),
            attributes: attributes.collect(),
        });
    }
    all
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        kind::FLOAT => "FLOAT",
        kind::INT => "INT",
        kind::STRING => "STRING",
        kind::TENSOR => "TENSOR",
        kind::GRAPH => "GRAPH",
        kind::FLOATS => "FLOATS",
        kind::INTS => "INTS",
        kind::STRINGS => "STRINGS",
        kind::SPARSE_TENSOR => "SPARSE_TENSOR",
        _ => "none",
    }
}

#[test]
fn the_table_has_every_operator_once() {
    let names: Vec<&str> = OPERATORS.iter().map(|operator| operator.name).collect();
    assert!(names.is_sorted());
    let table: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(table.len(), names.len());
    let known =
        |name: &&str| ops::is_imported(name) || fold::FOLDED.contains(name) || *name == "If";
    for name in &names {
        assert!(known(name), "{name}");
    }
    for name in fold::FOLDED {
        assert!(table.contains(name), "{name}");
    }
    let schemas = versions();
    let imported = schemas.keys().filter(|name| ops::is_imported(name));
    assert_eq!(imported.count(), ops::IMPORTED);
}

/// Every version and every attribute of every version, with its type, and no other.
#[test]
fn the_table_says_what_the_schemas_say() {
    let schemas = versions();
    assert_eq!(schemas.len(), OPERATORS.len());
    for (name, versions) in &schemas {
        let operator = find(name).unwrap();
        for opset in OPSETS {
            let expected = versions.iter().rev().find(|v| v.since <= opset);
            let found = operator.versions.iter().rev().find(|v| v.0 <= opset);
            assert_eq!(
                expected.map(|v| (v.since, v.least, v.most)),
                found.copied(),
                "{name} in opset {opset}"
            );
            let Some(expected) = expected else {
                continue;
            };
            let expected: BTreeSet<_> = expected.attributes.iter().map(|a| (a.0, a.1)).collect();
            let rows = operator.attributes.iter().filter(|row| row.is_in(opset));
            let found: BTreeSet<_> = rows.map(|row| (row.name, kind_name(row.kind))).collect();
            assert_eq!(expected, found, "{name} in opset {opset}");
        }
    }
    // What is refused unless it has one value has that value by default.
    for operator in OPERATORS {
        for row in operator.attributes {
            let Treatment::Only(value) = row.treatment else {
                continue;
            };
            let versions = schemas[operator.name].iter().flat_map(|v| &v.attributes);
            let mut defaults = versions.filter(|a| a.0 == row.name).map(|a| a.2);
            let is_default =
                |default: &str| default == value || default.is_empty() && row.kind == kind::INTS;
            assert!(defaults.all(is_default), "{} {}", operator.name, row.name);
        }
    }
}

/// A network with one node `n` of this operator, which has what it must have, and all that makes its attributes matter.
fn example(op: &str, attribute: &str, opset: i64) -> Model {
    let one = |sample: &[i64], inputs: &[&str], attributes: Vec<AttributeProto>| {
        Model::new(sample)
            .weights("w", &[2, 1, 3, 3])
            .weights("m", &[2, 3])
            .floats("k", &[2], &[1.0, 2.0])
            .weights("kk", &[2, 2])
            .ints("one", &[1])
            .ints("pads", &[0, 0, 1, 0, 0, 1])
            .ints("target", &[0, 6])
            .ints("wide", &[1, 2])
            .ints("seven", &[7, 8])
            .ints("three", &[3, 3])
            .ints("minus", &[-7, 8])
            .floats("s", &[2], &[0.5, 0.25])
            .node(op, inputs, "n", attributes)
    };
    let after = |model: Model, op: &str, inputs: &[&str]| model.node(op, inputs, "y", vec![]);
    let relu = |model: Model| after(model, "Relu", &["n"]);
    let add = |model: Model| after(model, "Add", &["x", "n"]);
    let to_float = |model: Model| {
        model
            .node("Cast", &["n"], "c", vec![int("to", 1)])
            .node("Mul", &["x", "c"], "y", vec![])
    };
    let model = match op {
        "AveragePool" | "MaxPool" => relu(one(
            &[2, 5, 5],
            &["x"],
            vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
        )),
        "BatchNormalization" => relu(one(&[2, 3, 3], &["x", "k", "k", "k", "k"], vec![])),
        "Cast" => relu(one(&[2], &["x"], vec![int("to", 1)])),
        "Clip" | "Dropout" | "HardSigmoid" | "LeakyRelu" => relu(one(&[2], &["x"], vec![])),
        "Concat" => relu(one(&[2, 2], &["x", "x"], vec![int("axis", 1)])),
        "Constant" => {
            let value = match attribute {
                "value" | "sparse_value" => tensor_attribute("value", &[1.5, 2.5]),
                "value_float" => float(attribute, 1.5),
                "value_floats" => floats(attribute, &[1.5, 2.5]),
                "value_int" => int(attribute, 1),
                _ => ints("value_ints", &[1, 2]),
            };
            let value = match attribute {
                "value_string" | "value_strings" => tensor_attribute("value", &[1.5]),
                _ => value,
            };
            to_float(one(&[2], &[], vec![value]))
        }
        "ConstantOfShape" => add(one(&[7, 8], &["seven"], vec![])),
        "Conv" => relu(one(&[2, 5, 5], &["x", "w"], vec![int("group", 2)])),
        "DequantizeLinear" => {
            let mut model = one(&[2, 2], &["q", "s"], vec![]);
            let mut q = int_tensor("q", &[1, 2, 3, 4]);
            q.dims = vec![2, 2];
            model.graph().initializer.push(q);
            add(model)
        }
        "Flatten" => relu(one(&[2, 3], &["x"], vec![])),
        "Gather" => add(one(&[2, 2], &["kk", "one"], vec![int("axis", 0)])),
        "Gemm" => relu(one(&[3], &["x", "m", "k"], vec![int("transB", 1)])),
        "If" => {
            let branch = |name: &str, op: &str| {
                let mut inner = Model::new(&[1]).node(op, &["x"], "r", vec![]);
                let mut graph = inner.graph().clone();
                graph.input.clear();
                graph.output[0].name = "r".to_owned();
                AttributeProto {
                    g: Some(graph),
                    ..super::attribute(name, kind::GRAPH)
                }
            };
            let branches = vec![branch("then_branch", "Relu"), branch("else_branch", "Tanh")];
            relu(one(&[2], &["one"], branches))
        }
        "Mod" => to_float(one(&[2], &["minus", "three"], vec![])),
        "Pad" if opset < 11 => relu(one(
            &[2, 2],
            &["x"],
            vec![ints("pads", &[0, 0, 1, 0, 0, 1])],
        )),
        "Pad" => relu(one(&[2, 2], &["x", "pads"], vec![])),
        _ if op.starts_with("Reduce") => {
            let by_operand = find(op).unwrap().versions.iter().rev();
            let by_operand = by_operand.clone().find(|v| v.0 <= opset).unwrap().2 == 2;
            match (attribute, by_operand) {
                ("noop_with_empty_axes", _) => add(one(&[2, 2], &["kk"], vec![])),
                (_, true) => add(one(&[2, 2], &["kk", "one"], vec![])),
                (_, false) => add(one(&[2, 2], &["kk"], vec![ints("axes", &[1])])),
            }
        }
        "Reshape" => relu(one(&[2, 3], &["x", "target"], vec![])),
        "Shape" => to_float(one(&[2, 3], &["x"], vec![])),
        "Slice" => add(one(
            &[2, 2],
            &["kk"],
            vec![ints("starts", &[0]), ints("ends", &[1]), ints("axes", &[0])],
        )),
        "Softmax" => relu(one(&[2, 3], &["x"], vec![])),
        "Squeeze" => relu(one(&[1, 2, 1], &["x"], vec![ints("axes", &[1])])),
        "Unsqueeze" => relu(one(&[2], &["x"], vec![ints("axes", &[1])])),
        "Transpose" => relu(one(&[2, 3], &["x"], vec![ints("perm", &[0, 1, 2])])),
        _ => panic!("{op} needs an example for its attribute {attribute}"),
    };
    model.opset(opset)
}

fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto {
        floats: values.to_vec(),
        ..attribute(name, kind::FLOATS)
    }
}

fn tensor_attribute(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto {
        t: Some(float_tensor("", &[values.len() as i64], values)),
        ..attribute(name, kind::TENSOR)
    }
}

/// Another value than the default and that of the example.
fn other_value(operator: &Operator, row: &Attribute, opset: i64) -> AttributeProto {
    let name = row.name;
    match (operator.name, name) {
        (_, "auto_pad") => string(name, "SAME_UPPER"),
        ("Pad", "mode") => string(name, "reflect"),
        (_, "round_mode") => string(name, "up"),
        ("Pad", "pads") => ints(name, &[0, 1, 0, 0, 1, 0]),
        (_, "pads") => ints(name, &[1, 1, 0, 0]),
        (_, "dilations") => ints(name, &[1, 2]),
        (_, "strides") => ints(name, &[2, 1]),
        (_, "kernel_shape") => ints(name, &[3, 1]),
        (_, "perm") => ints(name, &[0, 2, 1]),
        ("Squeeze", "axes") => ints(name, &[3]),
        ("Unsqueeze", "axes") => ints(name, &[2]),
        ("Slice", "axes") => ints(name, &[1]),
        (_, "axes") => ints(name, &[0]),
        (_, "starts") => ints(name, &[1]),
        (_, "ends") => ints(name, &[2]),
        ("BatchNormalization", "spatial") => int(name, 0),
        ("Cast", "to") => int(name, 7),
        (_, "saturate" | "keepdims" | "transB") => int(name, 0),
        ("Concat" | "Flatten", "axis") => int(name, 2),
        ("Softmax", "axis") => int(name, if opset < 13 { 2 } else { 1 }),
        ("DequantizeLinear", "axis") => int(name, 0),
        (_, "output_dtype") => int(name, 10),
        ("Constant", "value_int") => int(name, 5),
        ("Constant", "value_ints") => ints(name, &[3, 4]),
        ("Constant", "value_floats") => floats(name, &[3.0, 4.0]),
        ("Conv", "group") => int(name, 1),
        (_, "then_branch") => {
            let example = &mut example("If", name, opset);
            let branch = &example.graph().node[0].attribute[1];
            AttributeProto {
                name: name.to_owned(),
                ..branch.clone()
            }
        }
        _ => match row.kind {
            kind::INT => int(name, 1),
            kind::FLOAT => float(name, 0.75),
            kind::TENSOR => tensor_attribute(name, &[4.0]),
            other => attribute(name, other),
        },
    }
}

/// The default of an attribute that may have no other value.
fn only_value(row: &Attribute, value: &str) -> AttributeProto {
    match row.kind {
        kind::INT => int(row.name, value.parse().unwrap()),
        kind::STRING => string(row.name, value),
        _ => ints(row.name, &[1, 1]),
    }
}

fn with_attribute(model: &Model, value: AttributeProto) -> Model {
    let mut model = model.clone();
    let attributes = &mut model.graph().node[0].attribute;
    attributes.retain(|attribute| attribute.name != value.name);
    attributes.push(value);
    model
}

/// Gives each attribute, in the first and the last opset that has it, the wrong type, a value that is refused, and one that is not.
#[test]
fn every_attribute_is_treated_as_the_table_says() {
    for operator in OPERATORS {
        for row in operator.attributes {
            let first = row.since.max(*OPSETS.start()).max(operator.versions[0].0);
            let last = row.until.min(*OPSETS.end());
            for opset in [first, last] {
                let what = format!("{} of {} in opset {opset}", row.name, operator.name);
                let named = format!("`{}`", row.name);
                let model = example(operator.name, row.name, opset);
                let base = (model.try_import()).unwrap_or_else(|error| panic!("{what}: {error}"));
                let wrong_kind = match row.kind {
                    kind::FLOAT => int(row.name, 1),
                    _ => float(row.name, 1.0),
                };
                let message = with_attribute(&model, wrong_kind).refusal();
                assert!(message.contains(&named), "{what}: {message}");
                let other = with_attribute(&model, other_value(operator, row, opset)).try_import();
                match row.treatment {
                    // Either it changes the network, or this value is refused for what it means.
                    Treatment::Honoured => match other {
                        _ if row.name == "else_branch" => {}
                        Ok(graph) => assert!(graph != base, "{what} changes nothing"),
                        Err(error) => {
                            assert!(
                                !error.to_string().contains("is not part"),
                                "{what}: {error}"
                            );
                        }
                    },
                    Treatment::Only(value) => {
                        let message = other.expect_err(&what).to_string();
                        assert!(message.contains(row.name), "{what}: {message}");
                        let same = with_attribute(&model, only_value(row, value)).import();
                        assert_eq!(same, base, "{what}");
                    }
                    Treatment::Never => {
                        let message = other.expect_err(&what).to_string();
                        assert!(message.contains(&named), "{what}: {message}");
                    }
                    Treatment::NoEffect(_) => {
                        assert_eq!(
                            other.unwrap_or_else(|e| panic!("{what}: {e}")),
                            base,
                            "{what}"
                        );
                    }
                }
            }
            for outside in [row.since.saturating_sub(1), row.until.saturating_add(1)] {
                if OPSETS.contains(&outside) && outside >= operator.versions[0].0 {
                    let model = example(operator.name, row.name, outside);
                    let value = other_value(operator, row, outside);
                    let message = with_attribute(&model, value).refusal();
                    assert!(message.contains("is part of this operator"), "{message}");
                }
            }
        }
    }
}

#[test]
fn operators_are_known_from_their_first_opset_on_with_their_numbers_of_operands() {
    for operator in OPERATORS {
        let (first, least, most) = operator.versions[0];
        let given = |count: usize, opset: i64| {
            Model::new(&[2])
                .floats("k", &[2], &[1.0, 2.0])
                .node(operator.name, &vec!["k"; count], "n", vec![])
                .node("Add", &["x", "n"], "y", vec![])
                .opset(opset)
                .refusal()
        };
        if first > *OPSETS.start() {
            let message = given(least, first - 1);
            let expected = format!("from opset {first} on");
            assert!(message.contains(&expected), "{message}");
        }
        let first = first.max(*OPSETS.start());
        if most < usize::MAX {
            let message = given(most + 1, first);
            assert!(message.contains("operands, expected"), "{message}");
        }
        if least > 1 {
            let message = given(1, first);
            assert!(message.contains("has 1 operands, expected"), "{message}");
        }
    }
}
