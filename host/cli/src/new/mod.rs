//! `fewbit new`: a firmware project with a model, for a board.
//!
//! The project depends on `fewbit-runtime` and `fewbit-build` by path (in a clone, or copied into the project), and contains the model, a few inputs
//! and the board's memory map. Its files are in `template/`, with `{words}` as placeholders.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use fewbit::{
    dataset::{Dataset, DatasetSpec},
    measure::simulate::Simulator,
    random::Random,
};
use fewbit_runtime::{AlignedBlob, format::family::Family};

use fewbit_device::{
    board::Board,
    firmware,
    setup::{self, Emulator},
    toolchain::Way,
};

use crate::{Environment, packing, source, sources};

/// Number of inputs in a project.
const SAMPLES: usize = 5;

/// Arguments of `new`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder to create; its last part is the project's name.
    path: PathBuf,
    /// Board of the project, a folder of `boards/`.
    #[arg(long, default_value = "mps2-an386")]
    board: String,
    /// Model of the project, packed for the board's kernels if it is not packed for a processor; default: the built-in digits network.
    #[arg(long, value_name = "FILE")]
    blob: Option<PathBuf>,
    /// Inputs for --blob, as in `data.npz:x_test`; default: random bytes.
    #[arg(long, value_name = "DATA", requires = "blob")]
    data: Option<DatasetSpec>,
}

/// Model and inputs of the project.
struct Contents {
    blob: Vec<u8>,
    /// Whether the blob was packed for the board, and is not the given one.
    repacked: bool,
    /// Inputs, one after the other.
    samples: Vec<i8>,
    /// Bytes per input.
    input_bytes: usize,
    /// Class of each input on the host.
    classes: Vec<usize>,
}

/// Creates the project and prints how to run it.
///
/// # Errors
///
/// If the folder exists, its name is not valid for a crate, or the model does not load, does not fit the board or does not have exactly one
/// input.
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let name = crate_name(&args.path)?;
    if args.path.exists() {
        bail!(
            "{} already exists; choose another folder",
            args.path.display()
        );
    }
    let board = Board::load(&environment.repository()?, &args.board)?;
    if board.qemu.is_none() {
        bail!(
            "{} is not an emulated board; projects are made for those",
            board.name
        );
    }
    let contents = match &args.blob {
        Some(path) => given(path, args.data.as_ref(), &board),
        None => digits(&board),
    }?;
    firmware::check(&board, &contents.blob)?;
    let toolchain = setup::ensure()?;
    let command = command(toolchain.way(), &board);
    setup::ensure_qemu(board.emulator())?;

    // In a folder beside it, then renamed: a project is there whole or not at all.
    let absolute = std::path::absolute(&args.path).context("cannot find the current folder")?;
    let parent = absolute.parent().context("the folder has no name")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let work = tempfile::tempdir_in(parent)
        .with_context(|| format!("cannot write to {}", parent.display()))?;
    let project = work.path().join(&name);
    write(&project, &name, &board, &contents, &command)?;
    fs::rename(&project, &absolute)
        .with_context(|| format!("cannot create {}", absolute.display()))?;

    say!("made    {}", args.path.display())?;
    if contents.repacked {
        say!(
            "packed  the model for `{}`, the kernels of {}; its outputs stay the same",
            board.isa.name(),
            board.name
        )?;
    }
    say!("next    cd {} && {command}", args.path.display())?;
    Ok(())
}

/// Last part of the path, if it is valid as a crate's name.
fn crate_name(path: &Path) -> Result<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let valid = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    // Words of the language and crates that every project has.
    let taken = [
        "core",
        "std",
        "alloc",
        "test",
        "fn",
        "mod",
        "use",
        "self",
        "crate",
        "fewbit-runtime",
        "fewbit-build",
    ];
    if !valid || taken.contains(&name.as_ref()) {
        bail!(
            "{name:?} cannot name a project: lower-case letters, digits, `-` and `_`, a letter first, as in my-app"
        );
    }
    Ok(name.into_owned())
}

/// The digits network, packed for the board.
fn digits(board: &Board) -> Result<Contents> {
    let (quantized, evaluation) = source::digits(board.isa)?;
    let samples = SAMPLES * evaluation.elements();
    let simulator = Simulator::new(quantized.blob.as_bytes())?;
    let samples = simulator.quantize_inputs(&evaluation.inputs[..samples]);
    contents(&quantized.blob, None, &simulator, samples)
}

/// Blob from a file, packed for the board if it is not packed for a processor.
fn given(path: &Path, data: Option<&DatasetSpec>, board: &Board) -> Result<Contents> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let blob = AlignedBlob::new(&bytes);
    let simulator = Simulator::new(blob.as_bytes())
        .with_context(|| format!("cannot run {}", path.display()))?;
    if simulator.model().input_count() != 1 {
        bail!(
            "{} has {} inputs; a project is made for one",
            path.display(),
            simulator.model().input_count()
        );
    }
    let elements = simulator.input_elements();
    let samples = match data {
        Some(spec) => {
            let (layout, transform) = simulator.input_source();
            let data = Dataset::load_inputs(spec, &layout, &transform)?;
            let count = SAMPLES.min(data.samples) * data.elements();
            simulator.quantize_inputs(&data.inputs[..count])
        }
        None => Random::new(1).bytes(SAMPLES * elements),
    };
    let packed = packing::packed_for(board, &blob)
        .with_context(|| format!("cannot pack {} for {}", path.display(), board.name))?;
    contents(&blob, packed, &simulator, samples)
}

/// Contents of the project: the blob, packed for the board if needed, and the classes of its outputs.
fn contents(
    blob: &AlignedBlob,
    packed: Option<AlignedBlob>,
    simulator: &Simulator<'_>,
    samples: Vec<i8>,
) -> Result<Contents> {
    let outputs = simulator.run(&samples, None)?.output;
    let classes = outputs.chunks_exact(simulator.output_elements());
    // The first of equal ones, as the project's `argmax`.
    let class = |scores: &[i8]| {
        let best = scores.iter().max();
        scores.iter().position(|score| Some(score) == best)
    };
    Ok(Contents {
        repacked: packed.is_some(),
        blob: packed.as_ref().unwrap_or(blob).as_bytes().to_vec(),
        classes: classes.filter_map(class).collect(),
        input_bytes: simulator.input_elements(),
        samples,
    })
}

/// Command that a user types in the project.
fn command(way: &Way, board: &Board) -> String {
    match way {
        Way::Rustup => "cargo run --release".to_owned(),
        Way::Debian { linker } => format!(
            "RUSTC_BOOTSTRAP=1 PATH=/usr/bin:$PATH CARGO_TARGET_{}_LINKER={} cargo run --release -Zbuild-std=core",
            board.target.to_ascii_uppercase().replace(['-', '.'], "_"),
            linker.display()
        ),
    }
}

/// Writes all files below `project`.
fn write(
    project: &Path,
    name: &str,
    board: &Board,
    contents: &Contents,
    command: &str,
) -> Result<()> {
    let riscv = board.emulator() == Emulator::Riscv32;
    // What this program has unpacked into a cache is copied into the project, which then needs nothing of this machine.
    let copied = sources::is_cache(&board.repository);
    let crates = if copied {
        sources::unpack(&project.join("fewbit"), |file| file.starts_with("runtime/"))?;
        PathBuf::from("fewbit")
    } else {
        board.repository.root().to_owned()
    };
    let platform = if riscv {
        "# Start-up code and linker script; the critical section that the arena's flag needs.\n\
         riscv-rt = { version = \"0.18\", features = [\"memory\", \"single-hart\"] }\n\
         riscv = { version = \"0.16\", features = [\"critical-section-single-hart\"] }\n"
    } else {
        "# Start-up code and linker script; the critical section that the arena's flag may need.\n\
         cortex-m-rt = { version = \"0.7.7\", features = [\"set-vtor\"] }\n\
         cortex-m = { version = \"0.7.7\", features = [\"critical-section-single-core\"] }\n"
    };
    // ARMv6-M has no vector table offset register to set.
    let platform = if board.target.starts_with("thumbv6m") {
        platform.replace(", features = [\"set-vtor\"]", "")
    } else {
        platform.to_owned()
    };
    let atomics = if riscv || board.target.starts_with("thumbv6m") {
        "# No compare-and-swap here, which the arena's flag needs: the critical section stands in.\n\
         portable-atomic = { version = \"1.15\", default-features = false, features = [\"critical-section\"] }\n"
    } else {
        ""
    };
    let classes: Vec<String> = contents.classes.iter().map(ToString::to_string).collect();
    let words = [
        ("name", name.to_owned()),
        ("board", board.name.clone()),
        ("chip", board.chip.clone()),
        ("cpu", board.cpu.clone()),
        ("target", board.target.clone()),
        ("isa", board.isa.name().to_owned()),
        (
            "rt",
            if riscv { "riscv_rt" } else { "cortex_m_rt" }.to_owned(),
        ),
        (
            "platform_crate",
            if riscv { "riscv" } else { "cortex_m" }.to_owned(),
        ),
        (
            "opt_level",
            if board.isa == Family::Dsp {
                "\"s\""
            } else {
                "3"
            }
            .to_owned(),
        ),
        ("platform", platform),
        ("atomics", atomics.to_owned()),
        (
            "runtime",
            quoted(&crates.join("runtime").display().to_string()),
        ),
        (
            "build",
            quoted(&crates.join("runtime/build").display().to_string()),
        ),
        (
            "exclude",
            if copied {
                "exclude = [\"fewbit\"]\n"
            } else {
                ""
            }
            .to_owned(),
        ),
        (
            "copied",
            if copied {
                "| `fewbit/` | the crates that the program is built from |\n"
            } else {
                ""
            }
            .to_owned(),
        ),
        ("runner", runner(board)),
        ("command", command.to_owned()),
        ("classes", classes.join(", ")),
        ("input_bytes", contents.input_bytes.to_string()),
    ];
    let filled = |template: &str| {
        words
            .iter()
            .fold(template.to_owned(), |text, (word, value)| {
                text.replace(&format!("{{{word}}}"), value)
            })
    };
    let texts = [
        ("Cargo.toml", include_str!("template/Cargo.toml.in")),
        ("build.rs", include_str!("template/build.rs.in")),
        ("src/main.rs", include_str!("template/main.rs.in")),
        (
            ".cargo/config.toml",
            include_str!("template/config.toml.in"),
        ),
        ("README.md", include_str!("template/README.md.in")),
    ];
    for (file, template) in texts {
        write_file(&project.join(file), filled(template).as_bytes())?;
    }
    let map = board.folder().join("memory.x");
    let map = fs::read(&map).with_context(|| format!("cannot read {}", map.display()))?;
    write_file(&project.join("memory.x"), &map)?;
    write_file(&project.join(".gitignore"), b"/target/\n")?;
    write_file(&project.join("model/model.fewbit"), &contents.blob)?;
    let samples: Vec<u8> = contents
        .samples
        .iter()
        .map(|byte| byte.cast_unsigned())
        .collect();
    write_file(&project.join("model/samples.bin"), &samples)
}

/// The emulator's command line, as an array for cargo.
fn runner(board: &Board) -> String {
    let machine = board.qemu.iter().flat_map(|qemu| {
        ["-machine", &qemu.machine]
            .into_iter()
            .chain(qemu.arguments.iter().map(String::as_str))
    });
    let words: Vec<String> = std::iter::once(board.emulator().program())
        .chain(machine)
        .chain(["-display", "none", "-monitor", "none", "-serial", "none"])
        .chain(["-semihosting-config", "enable=on,target=native", "-kernel"])
        .map(quoted)
        .collect();
    format!("[{}]", words.join(", "))
}

/// A text as a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_as_a_crate_may_be() {
        assert_eq!(
            crate_name(Path::new("a/my-app_2")).expect("valid"),
            "my-app_2"
        );
        for name in [
            "",
            "..",
            "2x",
            "My",
            "core",
            "a b",
            "a\"b",
            "fewbit-runtime",
            "fewbit-build",
            "é",
        ] {
            assert!(crate_name(Path::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_that_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app");
        fs::create_dir(&path).expect("writable");
        let args = Args {
            path: path.clone(),
            board: "mps2-an386".to_owned(),
            blob: None,
            data: None,
        };
        let message = format!(
            "{:#}",
            task(&args, &Environment::of_suites()).expect_err("refused")
        );
        assert!(message.contains("already exists"), "{message}");
        assert_eq!(fs::read_dir(&path).expect("readable").count(), 0);
    }

    #[test]
    fn a_model_that_does_not_fit_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let blob = folder.path().join("large.fewbit");
        fs::write(
            &blob,
            fewbit_device::sample::two_tables(20_000).expect("valid"),
        )
        .expect("writable");
        let args = Args {
            path: folder.path().join("app"),
            board: "microbit".to_owned(),
            blob: Some(blob),
            data: None,
        };
        let message = format!(
            "{:#}",
            task(&args, &Environment::of_suites()).expect_err("refused")
        );
        assert!(
            message.contains("RAM, and the board has 16384"),
            "{message}"
        );
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
    }
}
