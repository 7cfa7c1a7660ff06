//! Puts the blob and the sizes it asks for into a firmware, for build scripts.
//!
//! `FEWBIT_BLOB` names the blob file. The runtime reads it here, on the host, so that the tables and the arena of the
//! firmware are exactly as large as this model needs, and a blob that does not load fails the build and not the board.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use fewbit_runtime::{
    AlignedBlob, Model, Summary,
    format::kernels::{ALL_KERNELS, kernels_of},
};

/// Tensors and operators that a build script has room for, as the host's tools do.
const CAPACITY: usize = 2048;

/// Writes `model.rs` and the blob to `OUT_DIR`.
pub(crate) fn write() {
    println!("cargo::rerun-if-env-changed=FEWBIT_BLOB");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let Some(path) = env::var_os("FEWBIT_BLOB").map(PathBuf::from) else {
        fail("FEWBIT_BLOB is not set: it names the .fewbit file to build into the firmware");
    };
    println!("cargo::rerun-if-changed={}", path.display());
    let blob = match fs::read(&path) {
        Ok(blob) => blob,
        Err(error) => fail(&format!("cannot read the blob {}: {error}", path.display())),
    };
    let summary = match Summary::from_bytes(&blob) {
        Ok(summary) => summary,
        Err(error) => fail(&format!(
            "{} is not a blob this runtime can run: {error}",
            path.display()
        )),
    };

    let mut kernels = match kernels_of(&blob) {
        Ok(kernels) => kernels,
        Err(error) => fail(&format!("{}: {error}", path.display())),
    };
    let (mut tensors, mut ops) = (summary.tensors, summary.ops);
    let mut arena_bytes = summary.arena_bytes;
    for other in others() {
        let read = fs::read(&other).map_err(|error| error.to_string());
        let needs = read.and_then(|blob| {
            let summary = Summary::from_bytes(&blob).map_err(|error| error.to_string())?;
            let kernels = kernels_of(&blob).map_err(|error| error.to_string())?;
            Ok((summary, kernels))
        });
        match needs {
            Ok((summary, more)) => {
                kernels |= more;
                tensors = tensors.max(summary.tensors);
                ops = ops.max(summary.ops);
                arena_bytes = arena_bytes.max(summary.arena_bytes);
            }
            Err(error) => fail(&format!("{}: {error}", other.display())),
        }
    }

    println!("cargo::rerun-if-env-changed=FEWBIT_EVERY_KERNEL");
    if env::var_os("FEWBIT_EVERY_KERNEL").is_some() {
        // For a look at what the runtime links, whatever the model.
        kernels = ALL_KERNELS;
    }

    let aligned = AlignedBlob::new(&blob);
    let model = match Model::<CAPACITY, CAPACITY>::from_bytes(aligned.as_bytes()) {
        Ok(model) => Box::new(model),
        Err(error) => fail(&format!("{}: {error}", path.display())),
    };
    let input_bytes: usize = (0..model.input_count())
        .filter_map(|port| model.input(port))
        .map(|port| port.len())
        .sum();

    let blob_file = out.join("model.fewbit");
    fs::write(&blob_file, &blob).expect("OUT_DIR is writable");
    let mut source = String::new();
    let constants = [
        (
            "TENSORS",
            "Capacity of the tensor table.",
            u32::from(tensors),
        ),
        ("OPS", "Capacity of the operator table.", u32::from(ops)),
        (
            "ARENA_BYTES",
            "Bytes of RAM for activations and scratch.",
            arena_bytes,
        ),
        (
            "INPUT_BYTES",
            "Bytes of all inputs of the model together.",
            u32::try_from(input_bytes).expect("the arena holds them"),
        ),
        (
            "KERNELS",
            "The kernels that the model needs; no others are linked.",
            kernels,
        ),
    ];
    for (name, doc, value) in constants {
        let kind = if name == "KERNELS" { "u32" } else { "usize" };
        writeln!(source, "/// {doc}\npub const {name}: {kind} = {value};")
            .expect("writing to a string");
    }
    writeln!(
        source,
        "/// The blob, as it lies in flash.\npub static BLOB: &Aligned<[u8]> = &Aligned(*include_bytes!({blob_file:?}));"
    )
    .expect("writing to a string");
    if env::var_os("CARGO_FEATURE_SLOTS").is_some() {
        source.push_str(&slots(&path));
    }
    if env::var_os("CARGO_FEATURE_MLPERF").is_some() {
        source.push_str(&mlperf());
    }
    fs::write(out.join("model.rs"), source).expect("OUT_DIR is writable");
}

/// Further models that the firmware is to have tables, kernels and an arena for.
fn others() -> Vec<PathBuf> {
    if env::var_os("CARGO_FEATURE_SLOTS").is_none() {
        return Vec::new();
    }
    println!("cargo::rerun-if-env-changed=FEWBIT_ROOM");
    let others = env::var_os("FEWBIT_ROOM").unwrap_or_default();
    let others: Vec<PathBuf> = env::split_paths(&others)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    for other in &others {
        println!("cargo::rerun-if-changed={}", other.display());
    }
    others
}

/// Where the slots for models are, and how long a model in them may run.
fn slots(own: &Path) -> String {
    println!("cargo::rerun-if-env-changed=FEWBIT_SLOTS");
    let slots = env::var("FEWBIT_SLOTS").unwrap_or_default();
    let numbers = slots
        .split_once(',')
        .and_then(|(offset, bytes)| Some((offset.parse().ok()?, bytes.parse().ok()?)));
    let Some((offset, bytes)) = numbers else {
        fail(
            "FEWBIT_SLOTS is OFFSET,BYTES: where the first slot is in the flash, and the bytes of a slot",
        );
    };
    let (offset, bytes): (u32, u32) = (offset, bytes);
    let most = most_operations();
    for path in others().iter().map(PathBuf::as_path).chain([own]) {
        // Read before, and found to load.
        let blob = AlignedBlob::new(&fs::read(path).unwrap_or_default());
        let model = Model::<CAPACITY, CAPACITY>::from_bytes(blob.as_bytes());
        let operations = model.map_or(0, |model| model.work());
        if operations > most {
            fail(&format!(
                "{} takes {operations} operations a run, FEWBIT_MOST_OPERATIONS allows {most}",
                path.display()
            ));
        }
    }
    format!(
        "/// Where the slots for models start in the flash.\npub const SLOTS_OFFSET: usize = {offset};\n\
         /// Bytes of a slot.\npub const SLOT_BYTES: usize = {bytes};\n\
         /// Elementary operations of the longest run that a model may take.\npub const MOST_OPERATIONS: u64 = {most};\n"
    )
}

/// Elementary operations of the longest run; as many as the format allows if nothing else is said.
fn most_operations() -> u64 {
    println!("cargo::rerun-if-env-changed=FEWBIT_MOST_OPERATIONS");
    match env::var("FEWBIT_MOST_OPERATIONS") {
        Err(env::VarError::NotPresent) => u64::MAX,
        Ok(number) if number.parse().is_ok_and(|number: u64| number > 0) => {
            number.parse().unwrap_or(u64::MAX)
        }
        _ => {
            fail("FEWBIT_MOST_OPERATIONS is a whole number above 0: operations of the longest run")
        }
    }
}

/// The constants of MLPerf Tiny's interface.
fn mlperf() -> String {
    println!("cargo::rerun-if-env-changed=FEWBIT_MLPERF_MODEL");
    println!("cargo::rerun-if-env-changed=FEWBIT_MLPERF_TABLE");
    let (Ok(model), Ok(table)) = (
        env::var("FEWBIT_MLPERF_MODEL"),
        env::var("FEWBIT_MLPERF_TABLE"),
    ) else {
        fail(
            "FEWBIT_MLPERF_MODEL names the benchmark's model, and FEWBIT_MLPERF_TABLE the file of 256 input values",
        );
    };
    println!("cargo::rerun-if-changed={table}");
    format!(
        "/// The benchmark's name of the model.\npub const MLPERF_MODEL: &str = {model:?};\n\
         /// The model's input value for each byte of the benchmark's.\npub static INPUT_TABLE: [u8; 256] = *include_bytes!({table:?});\n"
    )
}

/// Ends the build with a message that cargo shows as an error.
pub(crate) fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1)
}
