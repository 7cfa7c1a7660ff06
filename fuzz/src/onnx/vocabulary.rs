//! The operators and attributes that the importer knows, from its own table.

use std::sync::OnceLock;

/// An operator of the table.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) name: &'static str,
    /// The least number of operands.
    pub(super) operands: usize,
    /// Attributes and their types, as `AttributeProto.type` numbers them.
    pub(super) attributes: Vec<(&'static str, i32)>,
}

/// The importer's table as its source has it.
const SOURCE: &str = include_str!("../../../host/src/import/onnx/schema.rs");

/// Types of attributes as the table names them.
const TYPES: [(&str, i32); 9] = [
    ("FLOAT", 1),
    ("INT", 2),
    ("STRING", 3),
    ("TENSOR", 4),
    ("GRAPH", 5),
    ("FLOATS", 6),
    ("INTS", 7),
    ("STRINGS", 8),
    ("SPARSE_TENSOR", 11),
];

/// All operators.
pub(super) fn operators() -> &'static [Operator] {
    static ALL: OnceLock<Vec<Operator>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<Operator> = Vec::new();
        for line in SOURCE.lines().map(str::trim) {
            if let Some((name, rest)) = quoted(line, "op(\"") {
                let least = rest.split(',').nth(2).map(str::trim);
                let operands = least.and_then(|least| least.parse().ok());
                all.push(Operator {
                    name,
                    operands: operands.unwrap_or(1),
                    attributes: Vec::new(),
                });
            }
            for way in ["honoured(\"", "only(\"", "never(\"", "no_effect(\""] {
                if let (Some((name, rest)), Some(operator)) = (quoted(line, way), all.last_mut()) {
                    let word = rest.trim_start_matches(", ");
                    let word = word.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
                    let word = word.into_iter().next().unwrap_or_default();
                    let kind = TYPES.iter().find(|(name, _)| *name == word);
                    if let Some((_, kind)) = kind {
                        operator.attributes.push((name, *kind));
                    }
                }
            }
        }
        all
    })
}

/// The word between `start` and the next quotation mark, and what follows it.
fn quoted(line: &'static str, start: &str) -> Option<(&'static str, &'static str)> {
    line.split_once(start)?.1.split_once('"')
}

/// The operator of a name.
pub(super) fn operator(name: &str) -> Option<&'static Operator> {
    operators().iter().find(|operator| operator.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        assert!(operators().len() > 60, "{}", operators().len());
        let conv = operator("Conv").expect("there");
        assert_eq!(conv.operands, 2);
        assert!(conv.attributes.contains(&("dilations", 7)), "{conv:?}");
        assert!(conv.attributes.contains(&("auto_pad", 3)), "{conv:?}");
        let add = operator("Add").expect("there");
        assert_eq!((add.operands, add.attributes.len()), (2, 0));
    }
}
