//! The generated text, and refused models.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fewbit_runtime::{
    BlobWriter, KernelSet, Metadata, ProgramParts,
    format::{
        family::Family,
        program::{Lut, Op, Port, Tensor},
    },
};
use tempfile::TempDir;

use crate::{
    Error, Models,
    models::{Build, Output},
};

const CORTEX_M0: &str = "thumbv6m-none-eabi";
const CORTEX_M4: &str = "thumbv7em-none-eabihf";
const CORTEX_M33: &str = "thumbv8m.main-none-eabihf";
const DESK: &str = "x86_64-unknown-linux-gnu";

/// A folder with models of `elements` inputs, named by their number.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a chain of `tables` lookup tables over `elements` numbers.
    fn model(&self, name: &str, tables: u16, elements: u16, packing: Family) -> PathBuf {
        let mut writer = BlobWriter::new();
        let tensor = |index: u16| {
            let offset = u32::from(index % 2) * u32::from(elements.next_multiple_of(4));
            Tensor::int8(offset, [1, 1, elements], 0)
        };
        let port = |tensor| Port {
            tensor,
            scale_bits: 1.0_f32.to_bits(),
        };
        let ops = (0..tables).map(|index| {
            Op::Lut(Lut {
                input: index,
                output: index + 1,
                table: writer.append_weights(&[3; 256]),
            })
        });
        let program = ProgramParts {
            ops: ops.collect(),
            arena_bytes: u32::from(elements.next_multiple_of(4)) + u32::from(elements),
            inputs: vec![port(0)],
            outputs: vec![port(tables)],
            tensors: (0..=tables).map(tensor).collect(),
            packing,
        };
        let blob = writer.finish(&program, &Metadata::default());
        let path = self.path(name);
        fs::write(&path, blob.expect("a valid program")).expect("writable");
        path
    }
}

fn build(target: &str, isa: Option<&str>) -> Build {
    Build {
        target: target.to_owned(),
        isa: isa.map(str::to_owned),
        out: "/out".into(),
    }
}

/// The text of a generated file.
fn text(output: &Output, name: &str) -> String {
    let file = output.files.iter().find(|(found, _)| found == name);
    let (_, content) = file.unwrap_or_else(|| panic!("no {name}"));
    String::from_utf8(content.clone()).expect("text")
}

/// The value of a constant in generated text, outside of modules.
fn value<'t>(text: &'t str, name: &str) -> &'t str {
    let start = format!("\npub const {name}: ");
    let (_, rest) = text
        .split_once(&start)
        .unwrap_or_else(|| panic!("no {name}"));
    let (_, rest) = rest.split_once(" = ").expect("a value");
    rest.split_once(";\n").expect("an end").0
}

/// The bits of the kernels, in base 16.
fn kernels(text: &str) -> &str {
    let start = "\npub type Kernels = ::fewbit_runtime::parts::Linked<0x";
    let (_, rest) = text.split_once(start).expect("in the text");
    rest.split_once(">;\n").expect("an end").0
}

fn refusal(models: &Models, target: &str, isa: Option<&str>) -> (Error, String) {
    let error = models.output(&build(target, isa)).expect_err("refused");
    let message = error.to_string();
    assert!(
        !message.contains('\n'),
        "one line, as cargo takes: {message}"
    );
    (error, message)
}

fn names(models: &Models, path: &Path) {
    let (_, message) = refusal(models, DESK, None);
    let shown = path.display().to_string();
    assert!(message.contains(&shown), "{message}");
}

#[test]
fn a_model_is_its_sizes_and_its_blob() {
    let folder = Folder::new();
    let path = folder.model("two-tables.fewbit", 2, 5, Family::Scalar);
    let models = Models::new().model(&path);
    let output = models.output(&build(CORTEX_M0, None)).expect("fits");
    assert!(output.warnings.is_empty(), "{:?}", output.warnings);
    let names: Vec<&str> = output.files.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["two_tables.fewbit", "two_tables.rs", "models.rs"]);
    let (_, blob) = &output.files[0];
    assert_eq!(blob, &fs::read(&path).expect("there"));
    let text = text(&output, "two_tables.rs");
    for (name, expected) in [
        ("TENSORS", "3"),
        ("OPS", "2"),
        ("ARENA_BYTES", "13"),
        ("INPUT_BYTES", "5"),
        ("OUTPUT_BYTES", "5"),
    ] {
        assert_eq!(value(&text, name), expected, "{name}");
    }
    let work: u64 = value(&text, "WORK").parse().expect("a number");
    assert!(work >= 10, "{work}");
    let kernels = u64::from_str_radix(kernels(&text), 16).expect("a number");
    assert_eq!(kernels.count_ones(), 1, "tables only");
    assert!(text.contains("Aligned(*include_bytes!(\"/out/two_tables.fewbit\"))"));
}

#[test]
fn several_models_have_modules_and_room_for_any() {
    let folder = Folder::new();
    let deep = folder.model("deep.fewbit", 4, 4, Family::Scalar);
    let wide = folder.model("wide.v2.fewbit", 1, 40, Family::Scalar);
    let models = Models::new()
        .model(&deep)
        .model(&wide)
        .named("again", &deep);
    let output = models.output(&build(CORTEX_M4, None)).expect("fits");
    let all = text(&output, "models.rs");
    assert_eq!(value(&all, "TENSORS"), "5");
    assert_eq!(value(&all, "OPS"), "4");
    assert_eq!(value(&all, "ARENA_BYTES"), "80");
    for module in ["deep", "wide_v2", "again"] {
        let expected = format!("pub mod {module} {{\n    include!(\"/out/{module}.rs\");\n}}");
        assert!(all.contains(&expected), "{all}");
    }
    assert_eq!(value(&text(&output, "deep.rs"), "ARENA_BYTES"), "8");
    assert_eq!(value(&text(&output, "wide_v2.rs"), "TENSORS"), "2");
}

#[test]
fn room_is_counted_in_and_not_built_in() {
    let folder = Folder::new();
    let small = folder.model("small.fewbit", 1, 4, Family::Scalar);
    let later = folder.model("later.fewbit", 3, 8, Family::Scalar);
    let models = Models::new().model(small).room(&later).every_kernel();
    let output = models.output(&build(DESK, None)).expect("fits");
    let all = text(&output, "models.rs");
    assert_eq!(
        (value(&all, "OPS"), value(&all, "ARENA_BYTES")),
        ("3", "16")
    );
    assert_eq!(kernels(&all), format!("{:x}", KernelSet::ALL.bits()));
    assert!(!all.contains("later"));
    assert_eq!(output.files.len(), 3);
}

#[test]
fn a_file_that_is_missing_or_broken_is_named() {
    let folder = Folder::new();
    let missing = folder.path("missing.fewbit");
    names(&Models::new().model(&missing), &missing);
    let broken = folder.path("broken.fewbit");
    let mut blob = fs::read(folder.model("good.fewbit", 1, 4, Family::Scalar)).expect("there");
    if let Some(last) = blob.last_mut() {
        *last ^= 1;
    }
    fs::write(&broken, blob).expect("writable");
    names(&Models::new().model(&broken), &broken);
    // Room too.
    let good = Models::new().model(folder.path("good.fewbit"));
    names(&good.clone().room(&broken), &broken);
    assert!(good.output(&build(DESK, None)).is_ok());
    let (error, message) = refusal(&Models::new(), DESK, None);
    assert!(matches!(error, Error::NoModel), "{message}");
}

#[test]
fn a_name_is_one_for_a_module_and_given_once() {
    let folder = Folder::new();
    let path = folder.model("8-bit.fewbit", 1, 4, Family::Scalar);
    names(&Models::new().model(&path), &path);
    for name in ["", "_", "match", "a b", "models", "é"] {
        names(&Models::new().named(name, &path), &path);
    }
    let twice = Models::new().named("bits", &path).named("bits", &path);
    let (error, message) = refusal(&twice, DESK, None);
    assert!(matches!(error, Error::Twice { .. }), "{message}");
}

#[test]
fn a_blob_for_other_kernels_is_refused_with_the_way_out() {
    let folder = Folder::new();
    let dsp = Models::new().model(folder.model("dsp.fewbit", 1, 4, Family::Dsp));
    let mve = Models::new().model(folder.model("mve.fewbit", 1, 4, Family::Mve));
    for (models, target, isa) in [
        (&dsp, CORTEX_M4, None),
        (&dsp, CORTEX_M33, Some("dsp")),
        (&mve, CORTEX_M33, Some("mve")),
        (&dsp, DESK, None),
        (&mve, DESK, Some("dsp")),
    ] {
        let output = models.output(&build(target, isa)).expect("runs");
        assert!(output.warnings.is_empty(), "{target} {isa:?}");
    }
    for (models, target, isa, way_out) in [
        (&dsp, CORTEX_M33, None, "set FEWBIT_ISA = \"dsp\""),
        (&dsp, CORTEX_M33, Some("mve"), "set FEWBIT_ISA = \"dsp\""),
        (&mve, CORTEX_M33, Some("dsp"), "quantize with --target dsp"),
        (&mve, CORTEX_M4, None, "quantize with --target dsp"),
        (&dsp, CORTEX_M0, None, "quantize with --target scalar"),
    ] {
        let (error, message) = refusal(models, target, isa);
        assert!(matches!(error, Error::OtherFamily { .. }), "{message}");
        assert!(message.contains(way_out), "{message}");
    }
    // What no Cortex-M0 can have is no way out.
    let (_, message) = refusal(&dsp, CORTEX_M0, None);
    assert!(!message.contains("FEWBIT_ISA"), "{message}");
}

#[test]
fn a_family_that_the_target_does_not_have_is_refused() {
    let folder = Folder::new();
    let models = Models::new().model(folder.model("any.fewbit", 1, 4, Family::Scalar));
    for (target, isa) in [
        (CORTEX_M0, "dsp"),
        (CORTEX_M4, "mve"),
        (CORTEX_M33, "neon"),
        ("riscv32imc-unknown-none-elf", "mve"),
    ] {
        let (error, message) = refusal(&models, target, Some(isa));
        assert!(matches!(error, Error::Isa { .. }), "{message}");
        assert!(message.contains(isa), "{message}");
    }
}

#[test]
fn slow_kernels_that_no_one_chose_are_a_warning() {
    let folder = Folder::new();
    let models = Models::new().model(folder.model("any.fewbit", 1, 4, Family::Scalar));
    let warnings = |target, isa| models.output(&build(target, isa)).expect("runs").warnings;
    let [warning] = &warnings(CORTEX_M33, None)[..] else {
        panic!("one warning");
    };
    assert!(warning.contains("FEWBIT_ISA is not set"), "{warning}");
    for (target, isa) in [
        (CORTEX_M33, Some("scalar")),
        (CORTEX_M33, Some("dsp")),
        (CORTEX_M4, None),
        (CORTEX_M4, Some("scalar")),
        (CORTEX_M0, None),
        (DESK, None),
    ] {
        assert_eq!(warnings(target, isa), [""; 0], "{target} {isa:?}");
    }
}

#[test]
fn a_run_that_takes_too_long_is_refused() {
    let folder = Folder::new();
    let path = folder.model("any.fewbit", 1, 4, Family::Scalar);
    let models = Models::new().model(&path);
    let output = models.output(&build(DESK, None)).expect("fits");
    let work: u64 = value(&text(&output, "any.rs"), "WORK")
        .parse()
        .expect("a number");
    assert!(
        models
            .clone()
            .most_work(work)
            .output(&build(DESK, None))
            .is_ok()
    );
    names(&models.most_work(work - 1), &path);
}
