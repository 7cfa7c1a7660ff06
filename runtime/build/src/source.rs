//! Rust source of a model's constants.

use std::{io, panic, path::Path, thread};

use fewbit_runtime::{
    AlignedBlob, KernelSet, LoadError, Model, Summary, format::family::Family, load::kernels_of,
};

/// Capacity of a build script's tables of tensors and operators, as in the host's tools.
const CAPACITY: usize = 2048;

/// Bytes of stack that reading a blob into tables of that size may take; some systems give a program 1 MB.
const STACK_BYTES: usize = 32 << 20;

/// Constants that a program needs for a model, or for any of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) tensors: u16,
    pub(crate) ops: u16,
    pub(crate) kernels: KernelSet,
    pub(crate) arena_bytes: u32,
}

/// Sizes of one model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) needs: Needs,
    pub(crate) packing: Family,
    /// Bytes of all inputs, and of all outputs.
    input_bytes: usize,
    output_bytes: usize,
    /// Elementary operations per inference.
    pub(crate) work: u64,
}

impl Needs {
    /// Sizes that are enough for both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            tensors: self.tensors.max(other.tensors),
            ops: self.ops.max(other.ops),
            kernels: self.kernels | other.kernels,
            arena_bytes: self.arena_bytes.max(other.arena_bytes),
        }
    }

    /// The constants; `whose` ends their documentation.
    pub(crate) fn source(&self, whose: &str) -> String {
        let mut text = String::new();
        text += &constant("TENSORS", "usize", self.tensors, "Tensors that", whose);
        text += &constant("OPS", "usize", self.ops, "Operators that", whose);
        let doc = "The kernels, no others of which are linked, that";
        text += &format!(
            "/// {doc} {whose}\n{ALLOWED}pub type Kernels = ::fewbit_runtime::parts::Linked<{:#x}>;\n",
            self.kernels.bits()
        );
        let doc = "Bytes of RAM for activations and scratch that";
        text += &constant("ARENA_BYTES", "usize", self.arena_bytes, doc, whose);
        let model =
            "::core::mem::size_of::<::fewbit_runtime::Model<'static, TENSORS, OPS, Kernels>>()";
        let doc = "Bytes of the loaded model's type, whose tables have room for what";
        text + &constant("MODEL_BYTES", "usize", model, doc, whose)
    }
}

impl Sizes {
    /// Reads them from a blob, on a stack that is large enough.
    ///
    /// # Errors
    ///
    /// If the system gives no such stack; within, the error of the blob.
    pub(crate) fn read(blob: &[u8]) -> io::Result<Result<Self, LoadError>> {
        thread::scope(|scope| {
            let reader = thread::Builder::new().stack_size(STACK_BYTES);
            let reader = reader.spawn_scoped(scope, || Self::read_here(blob))?;
            Ok(reader
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic)))
        })
    }

    fn read_here(blob: &[u8]) -> Result<Self, LoadError> {
        let summary = Summary::from_bytes(blob)?;
        let kernels = kernels_of(blob)?;
        let aligned = AlignedBlob::new(blob);
        let model = Box::new(Model::<CAPACITY, CAPACITY>::from_bytes(aligned.as_bytes())?);
        let inputs = (0..model.input_count()).filter_map(|port| model.input(port));
        let outputs = (0..model.output_count()).filter_map(|port| model.output(port));
        Ok(Self {
            needs: Needs {
                tensors: summary.tensors,
                ops: summary.ops,
                kernels,
                arena_bytes: summary.arena_bytes,
            },
            packing: summary.packing,
            input_bytes: inputs.map(|port| port.bytes()).sum(),
            output_bytes: outputs.map(|port| port.bytes()).sum(),
            work: model.work(),
        })
    }

    /// All items of the model, whose blob will have the path `blob`.
    pub(crate) fn source(&self, needs: &Needs, blob: &Path) -> String {
        let whose = "the model needs.";
        let mut text = needs.source(whose);
        let own = "the model has.";
        let doc = "Bytes of all inputs that";
        text += &constant("INPUT_BYTES", "usize", self.input_bytes, doc, own);
        let doc = "Bytes of all outputs that";
        text += &constant("OUTPUT_BYTES", "usize", self.output_bytes, doc, own);
        let doc = "Elementary operations of a run that";
        text += &constant("WORK", "u64", self.work, doc, whose);
        text + &format!(
            "/// The blob, as it lies in flash.\n{ALLOWED}pub static BLOB: &::fewbit_runtime::Aligned<[u8]> =\n    \
             &::fewbit_runtime::Aligned(*include_bytes!({blob:?}));\n"
        )
    }
}

/// Allowed because programs use only the items that they need.
const ALLOWED: &str = "#[allow(dead_code, reason = \"a program need not use it\")]\n";

fn constant(
    name: &str,
    kind: &str,
    value: impl std::fmt::Display,
    doc: &str,
    whose: &str,
) -> String {
    format!("/// {doc} {whose}\n{ALLOWED}pub const {name}: {kind} = {value};\n")
}
