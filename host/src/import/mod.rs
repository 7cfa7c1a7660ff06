//! Reading model files into the float graph.
//!
//! Each file format is one entry of a table, recognised by its content or, failing that, by the file's extension. Whatever a
//! format's own layout is, what comes out is channels-last (see [`crate::graph`]).

mod builder;
mod cleanup;
mod error;
pub mod onnx;
mod options;

use std::path::Path;

use crate::graph::Graph;

pub use error::{ImportError, ImportErrorKind, Place};
pub use options::ImportOptions;

/// A file format.
struct Format {
    /// Extensions of its files, in lower case.
    extensions: &'static [&'static str],
    /// Whether the bytes are of this format beyond doubt.
    recognise: fn(&[u8]) -> bool,
    /// Makes the graph. The path is where files beside the model are looked for.
    read: fn(&Path, &[u8], &ImportOptions) -> Result<Graph, ImportError>,
}

/// Every format that is known.
const FORMATS: &[Format] = &[
    Format {
        extensions: &["tflite", "lite"],
        recognise: |bytes| bytes.get(4..8) == Some(b"TFL3"),
        read: |path, _, _| {
            Err(unknown(
                path,
                "a TensorFlow Lite file",
                "convert the original model to ONNX, for instance with tf2onnx",
            ))
        },
    },
    Format {
        extensions: &["h5", "hdf5", "keras"],
        recognise: |bytes| bytes.starts_with(b"\x89HDF\r\n\x1a\n"),
        read: |path, _, _| {
            Err(unknown(
                path,
                "a Keras file",
                "convert it to ONNX, for instance with tf2onnx",
            ))
        },
    },
    Format {
        extensions: &["pt", "pth", "ckpt", "safetensors"],
        recognise: |bytes| bytes.starts_with(b"PK\x03\x04"),
        read: |path, _, _| {
            Err(unknown(
                path,
                "weights without a network, or an archive",
                "export the model with `torch.onnx.export`",
            ))
        },
    },
    Format {
        extensions: &["onnx"],
        // Protobuf has no magic number: files of this format go by their extension.
        recognise: |_| false,
        read: |path, bytes, options| onnx::read(&display_name(path), bytes, path.parent(), options),
    },
];

/// Reads a model file.
///
/// The graph is valid (see [`Graph::validate`]), in evaluation order, and without nodes that the output does not need.
///
/// # Errors
/// If the file cannot be read, is damaged or uses something that is not supported; the error names the node and the way out.
pub fn load(path: &Path, options: &ImportOptions) -> Result<Graph, ImportError> {
    let bytes = std::fs::read(path).map_err(|error| ImportError {
        file: display_name(path),
        place: Place::default(),
        kind: Box::new(error.into()),
    })?;
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let format = FORMATS
        .iter()
        .find(|format| (format.recognise)(&bytes))
        .or_else(|| {
            FORMATS
                .iter()
                .find(|format| format.extensions.contains(&extension.as_str()))
        });
    match format {
        Some(format) => (format.read)(path, &bytes, options),
        None => Err(unknown(
            path,
            "neither its name nor its content is known",
            "give an ONNX model whose name ends in .onnx",
        )),
    }
}

fn unknown(path: &Path, found: &str, help: &str) -> ImportError {
    ImportError {
        file: display_name(path),
        place: Place::default(),
        kind: Box::new(ImportErrorKind::UnknownFormat {
            found: found.to_owned(),
            help: help.to_owned(),
        }),
    }
}

fn display_name(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_refused_with_a_way_out() {
        let directory = std::env::temp_dir().join(format!("fewbit-import-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for (name, bytes, expected) in [
            (
                "net.tflite",
                b"\x1c\0\0\0TFL3".as_slice(),
                "TensorFlow Lite",
            ),
            ("net.bin", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            ("net.keras", b"PK\x03\x04", "torch.onnx.export"),
            ("net.h5", b"\x89HDF\r\n\x1a\n", "tf2onnx"),
            ("net.xyz", b"hello", ".onnx"),
            ("net.onnx", b"", "damaged"),
        ] {
            let path = directory.join(name);
            std::fs::write(&path, bytes).unwrap();
            let message = load(&path, &ImportOptions::default())
                .unwrap_err()
                .to_string();
            assert!(
                message.contains(expected) && message.contains(name),
                "{name}: {message}"
            );
        }
        std::fs::remove_dir_all(&directory).unwrap();
        let missing = load(Path::new("no/such.onnx"), &ImportOptions::default()).unwrap_err();
        assert!(
            matches!(*missing.kind, ImportErrorKind::Read(_)),
            "{missing}"
        );
    }
}
