//! Generates `host/src/import/onnx/proto.rs` from `host/proto/onnx.proto`.

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the generator lies outside host/proto")?;
    let definitions = protox::compile(["onnx.proto"], [proto])?;
    let directory = proto.join("generate/target");
    fs::create_dir_all(&directory)?;
    prost_build::Config::new()
        .out_dir(&directory)
        .compile_fds(definitions)?;
    let generated = fs::read_to_string(directory.join("onnx.rs"))?;
    let target = proto.join("../src/import/onnx/proto.rs");
    let header = "//! Messages of an ONNX file.\n//!\n//! Generated from `host/proto/onnx.proto` by `host/proto/generate`; do not edit.\n\n";
    fs::write(&target, format!("{header}{generated}"))?;
    println!("wrote {}", target.display());
    Ok(())
}
