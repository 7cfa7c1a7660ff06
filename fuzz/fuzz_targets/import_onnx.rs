//! Imports arbitrary bytes as an ONNX model.
//!
//! What is accepted has to be a valid graph.
#![no_main]

use fewbit::import::{ImportOptions, onnx};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(graph) = onnx::from_bytes("fuzz.onnx", bytes, &ImportOptions::default()) {
        graph.validate().expect("an imported graph is valid");
    }
});
