//! ONNX model files.
//!
//! Operator sets 7 to 24 of the default domain. Shapes are those of one sample: the first axis of the input is the batch, of any size.

mod attributes;

mod call;

mod constant;
mod context;
mod flatten;
mod fold;
mod importer;
mod input;
mod kind;
mod layout;
mod ops;
#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from host/proto/onnx.proto"
)]
#[rustfmt::skip]
mod proto;
mod schema;
mod window;

use std::path::Path;

use prost::Message;

use self::context::{Located, OPSETS, is_default_domain};
use self::flatten::File;
use self::importer::Outcome;
use self::proto::ModelProto;
use super::error::{ImportError, ImportErrorKind, Place, unsupported};
use super::options::ImportOptions;
use crate::graph::Graph;

/// Reads a model from memory. Tensors in other files are refused, as their folder is unknown; `name` is for messages.
///
/// # Errors
/// As [`load`](super::load), but for the reading of the file.
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

fn import(bytes: &[u8], directory: Option<&Path>, options: &ImportOptions) -> Located<Graph> {
    let whole = |kind| (Place::default(), kind);
    let damaged = |problem: String| whole(ImportErrorKind::Malformed(problem));
    let mut model = ModelProto::decode(bytes)
        .map_err(|error| damaged(format!("it is not an ONNX model ({error})")))?;
    let Some(graph) = model.graph.take() else {
        return Err(damaged("it contains no network".to_owned()));
    };
    let opset = model
        .opset_import
        .iter()
        .find(|set| is_default_domain(&set.domain))
        .map_or(0, |set| set.version);
    if !OPSETS.contains(&opset) {
        return Err(whole(ImportErrorKind::opset(opset, OPSETS)));
    }
    let output = match (&options.output, &graph.output[..]) {
        (Some(name), _) => name.clone(),
        (None, [output]) => output.name.clone(),
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
    let mut file = File::new(graph, model.functions, opset)?;
    // What a condition depends on may itself lie behind a branch, so branches are taken in rounds.
    for _ in 0..MAX_ROUNDS {
        match importer::import(&file, directory, &output)? {
            Outcome::Graph(graph) => return Ok(*graph),
            Outcome::Conditions(chosen) => file.take_branches(&chosen)?,
        }
    }
    Err(whole(unsupported(
        format!("more than {MAX_ROUNDS} conditions (If) depend on each other"),
        "fold constants first, for instance with onnxsim",
    )))
}

/// Most conditions that may follow from each other.
const MAX_ROUNDS: usize = 32;

#[cfg(test)]
mod tests;
