//! ONNX model files.
//!
//! Operator sets 11 to 24 of the default domain. Shapes are those of one sample: the first axis of the input is the batch, whatever its size.

mod attributes;
mod builder;
mod call;
mod cleanup;
mod constant;
mod fold;
mod importer;
mod input;
mod layout;
mod ops;
#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from host/proto/onnx.proto"
)]
#[rustfmt::skip]
mod proto;
mod window;

use std::path::Path;
use std::rc::Rc;

use prost::Message;

use self::constant::Constant;
use self::layout::View;
use self::proto::ModelProto;
use super::{ImportError, ImportErrorKind, ImportOptions, Place};
use crate::graph::Graph;

/// Oldest and newest supported operator set.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=24;

/// A value of the file.
#[derive(Clone, Debug)]
enum Value {
    /// Known at import.
    Constant(Rc<Constant>),
    /// Depends on the network's input.
    View(View),
}

/// Reads a model from memory. Tensors in other files are refused, as their folder is unknown; `name` is for messages.
///
/// # Errors
/// As [`super::load`], but for the reading of the file.
pub fn from_bytes(name: &str, bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    read(name, bytes, None, options)
}

/// As [`from_bytes`], with the folder where tensors in other files are looked for.
pub(super) fn read(
    name: &str,
    bytes: &[u8],
    directory: Option<&Path>,
    options: &ImportOptions,
) -> Result<Graph, ImportError> {
    let mut graph = import(bytes, directory, options).map_err(|(place, kind)| ImportError {
        file: name.to_owned(),
        place,
        kind: Box::new(kind),
    })?;
    // The name inside is what the exporter happens to write ("main_graph"); the file's is what the user knows it by.
    if let Some(stem) = Path::new(name).file_stem() {
        graph.name = stem.to_string_lossy().into_owned();
    }
    Ok(graph)
}

fn import(
    bytes: &[u8],
    directory: Option<&Path>,
    options: &ImportOptions,
) -> importer::Located<Graph> {
    let whole = |kind| (Place::default(), kind);
    let damaged = |problem: String| whole(ImportErrorKind::Malformed(problem));
    let model = ModelProto::decode(bytes)
        .map_err(|error| damaged(format!("it is no ONNX model ({error})")))?;
    let Some(graph) = &model.graph else {
        return Err(damaged("it holds no network".to_owned()));
    };
    let opset = model
        .opset_import
        .iter()
        .find(|set| is_default_domain(&set.domain))
        .map_or(0, |set| set.version);
    if !OPSETS.contains(&opset) {
        return Err(whole(ImportErrorKind::Opset {
            found: opset,
            oldest: *OPSETS.start(),
            newest: *OPSETS.end(),
        }));
    }
    let output = match (&options.output, &graph.output[..]) {
        (Some(name), _) => name,
        (None, [output]) => &output.name,
        (None, []) => {
            return Err(whole(ImportErrorKind::Interface(
                "the network has no output; choose a tensor as output with --output-tensor"
                    .to_owned(),
            )));
        }
        (None, outputs) => {
            let names: Vec<_> = outputs.iter().map(|output| output.name.as_str()).collect();
            return Err(whole(ImportErrorKind::Interface(format!(
                "the network has the outputs {}; choose one of them with --output-tensor",
                names.join(", ")
            ))));
        }
    };
    importer::import(graph, opset, directory, output)
}

/// Whether operators of this domain are ONNX's own.
fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

#[cfg(test)]
mod tests;
