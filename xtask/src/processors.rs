//! Whether the same recipe and samples give the same blob on every processor.
//!
//! The `fewbit` command runs under QEMU's user mode, which has the vector instructions of the processor that it is asked to be, and
//! on this machine on several numbers of threads. What it writes is compared by hash.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use fewbit_device::{
    process,
    setup::{self, Emulator},
    toolchain::TARGET_AARCH64,
};

use crate::{
    cargo::{DEVICE_SUITES, cargo},
    root,
};

/// Time for one network on one emulated processor.
const LIMIT: Duration = Duration::from_secs(900);

/// A recipe that the processors are compared by: layers of all kinds, few samples, as emulation takes a hundred times as long.
struct Job {
    name: &'static str,
    options: &'static [&'static str],
}

const JOBS: [Job; 3] = [
    Job {
        name: "int8 per channel",
        options: &[],
    },
    Job {
        name: "int4 per tensor",
        options: &["--weights", "int4", "--granularity", "per-tensor"],
    },
    Job {
        name: "int4 per channel, adaround",
        options: &["--weights", "int4", "--rounding", "adaround"],
    },
];

/// The first of them, for whom the third takes too long.
const SHORT: usize = 2;

/// Processor on which a blob is made.
enum Place {
    /// On this machine, with so many threads.
    Here { threads: usize },
    /// On an emulated processor, by QEMU's name.
    Emulated {
        emulator: Emulator,
        processor: &'static str,
        vectors: &'static str,
    },
}

impl Place {
    fn name(&self) -> String {
        match self {
            Place::Here { threads: 1 } => "this machine, 1 thread".to_owned(),
            Place::Here { threads } => format!("this machine, {threads} threads"),
            Place::Emulated {
                processor, vectors, ..
            } => format!("{processor} ({vectors})"),
        }
    }

    fn command(&self, fewbit: &Path) -> Result<Command> {
        Ok(match self {
            Place::Here { threads } => {
                let mut command = Command::new(fewbit);
                command.env("RAYON_NUM_THREADS", threads.to_string());
                command
            }
            Place::Emulated {
                emulator,
                processor,
                ..
            } => {
                let mut command = Command::new(setup::ensure_qemu(*emulator)?);
                // QEMU lacks parts of some processors that programs do not see.
                let processor = match emulator {
                    Emulator::X86 => format!("{processor},check=off"),
                    _ => (*processor).to_owned(),
                };
                command.arg("-cpu").arg(processor).arg(fewbit);
                command
            }
        })
    }
}

/// A processor of this architecture in QEMU's user mode.
fn emulated(processor: &'static str, vectors: &'static str) -> Place {
    Place::Emulated {
        emulator: Emulator::X86,
        processor,
        vectors,
    }
}

/// x86-64 without and with vectors of eight numbers and a fused multiply-add, and this machine as it is.
///
/// # Errors
///
/// If two blobs differ, or one cannot be made.
pub(crate) fn x86() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        say!("left out: programs for x86-64 run on Linux on x86-64 only")?;
        return Ok(());
    }
    let fewbit = build(None, false)?;
    let mut places: Vec<(PathBuf, Place)> = [1, 2, 8]
        .map(|threads| (fewbit.clone(), Place::Here { threads }))
        .into();
    places.push((fewbit.clone(), emulated("Nehalem", "SSE4.2")));
    places.push((fewbit, emulated("Haswell", "AVX2, F16C, FMA")));
    compare(&JOBS[..SHORT], &places)
}

/// Another architecture, x86-64 with half-precision numbers and no fused multiply-add, and a build with optimization and without its checks.
///
/// # Errors
///
/// As [`x86`].
pub(crate) fn others() -> Result<()> {
    let here = |fewbit| (fewbit, Place::Here { threads: 2 });
    let mut places = vec![here(build(None, false)?), here(build(None, true)?)];
    if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        places.push((build(None, false)?, emulated("IvyBridge", "AVX, F16C")));
    }
    if cfg!(target_os = "linux") {
        setup::ensure_target(TARGET_AARCH64)?;
        let place = Place::Emulated {
            emulator: Emulator::Aarch64,
            processor: "cortex-a72",
            vectors: "AArch64, Neon",
        };
        places.push((build(Some(TARGET_AARCH64), false)?, place));
    }
    compare(&JOBS, &places)
}

/// Builds the command, and returns its program.
fn build(target: Option<&str>, release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--locked", "--bin", "fewbit"]);
    if target.is_none() && !release {
        // With the features that the tests build it with, so that it is there after them.
        command.args(["--workspace", "--features", DEVICE_SUITES]);
    }
    let mut program = root().join("target");
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        program = root().join(folder);
    }
    if let Some(target) = target {
        let variable = target.to_uppercase().replace('-', "_");
        command
            .args(["--target", target])
            .env(format!("CARGO_TARGET_{variable}_LINKER"), "rust-lld");
        program.push(target);
    }
    if release {
        command.arg("--release");
    }
    program.push(if release { "release" } else { "debug" });
    process::run(&mut command, Duration::from_secs(1800))?;
    Ok(program.join(format!("fewbit{}", std::env::consts::EXE_SUFFIX)))
}

/// Makes every job's blob at every place and prints their hashes.
fn compare(jobs: &[Job], places: &[(PathBuf, Place)]) -> Result<()> {
    let folder = tempfile::tempdir().context("no folder for blobs")?;
    let mut different = Vec::new();
    for job in jobs {
        let mut first: Option<Vec<u8>> = None;
        for (program, place) in places {
            let start = Instant::now();
            let blob = blob(job, program, place, folder.path())
                .with_context(|| format!("{} on {}", job.name, place.name()))?;
            let hash: String = (Sha256::digest(&blob)[..8].iter())
                .map(|byte| format!("{byte:02x}"))
                .collect();
            say!(
                "{}: {hash}, {}, {:.1} s",
                job.name,
                place.name(),
                start.elapsed().as_secs_f64()
            )?;
            if first.get_or_insert_with(|| blob.clone()) != &blob {
                different.push(format!("{} on {}", job.name, place.name()));
            }
        }
    }
    if !different.is_empty() {
        bail!("other blobs: {}", different.join("; "));
    }
    Ok(())
}

fn blob(job: &Job, program: &Path, place: &Place, folder: &Path) -> Result<Vec<u8>> {
    let models = root().join("tests/models/bias_shift");
    let samples = models.join("bias_shift.npz").display().to_string();
    let out = folder.join("blob.fewbit");
    let mut command = place.command(program)?;
    command
        .arg("quantize")
        .arg(models.join("bias_shift.onnx"))
        .args(["--calibration", &format!("{samples}:x_calibration[0:8]")])
        .args(["--eval", &format!("{samples}:x_calibration[0:2]")])
        .args(job.options)
        .arg("--out")
        .arg(&out);
    process::output(&mut command, LIMIT)?;
    std::fs::read(&out).context("no blob")
}
