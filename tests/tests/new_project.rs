//! `fewbit new` makes projects that run as in their README, to the host's classes.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use fewbit::measure::simulate::Simulator;
use fewbit_runtime::AlignedBlob;
use fewbit_tests::{repository, sampled};

/// Folder of the command and the tasks, built as the workspace's tests are, so that they exist after them.
fn programs() -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(repository().root())
        .args(["build", "--quiet", "--workspace", "--locked"])
        .args(["--features", "fewbit-tests/device"])
        .args(["--bin", "fewbit", "--bin", "xtask"]);
    assert!(cargo.status().expect("cargo starts").success());
    let test = env::current_exe().expect("a program");
    // A test is one folder below the programs.
    test.ancestors().nth(2).expect("a folder").to_owned()
}

/// Makes a project as a user would, outside the repository: as a task of it, or by the command, which contains the sources.
fn make(project: &Path, board: &str, program: &str) {
    let folder = project.parent().expect("has one");
    let cache = folder.join("cache");
    let mut command = Command::new(programs().join(program));
    command
        .current_dir(folder)
        .env("XDG_CACHE_HOME", &cache)
        .env_remove("FEWBIT_REPOSITORY")
        .arg("new")
        .arg(project.file_name().expect("has one"))
        .args(["--board", board]);
    if program == "xtask" {
        // As cargo starts it; of a test, it is another package's.
        command.env("CARGO_MANIFEST_DIR", repository().root().join("xtask"));
    }
    let output = command.output().expect("starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The project needs nothing of where it was made.
    let copied = project.join("fewbit/runtime").is_dir();
    assert_eq!(copied, program == "fewbit");
    assert_eq!(copied, cache.is_dir());
    if copied {
        fs::remove_dir_all(&cache).expect("is there");
    }
}

/// Runs the command in the project's README, as a shell would.
fn follow_readme(project: &Path, target_dir: &Path) -> Output {
    let readme = fs::read_to_string(project.join("README.md")).expect("there");
    let (_, rest) = readme.split_once("```sh\n").expect("has a command");
    let (command, _) = rest.split_once("\n```").expect("which ends");
    let mut shell = Command::new("sh");
    shell.current_dir(project).args(["-c", command]);
    // What this test's own cargo sets would reach the project's; several projects share what they compile.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let user = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
        if name.starts_with("CARGO") && !user.iter().any(|kept| name.starts_with(kept)) {
            shell.env_remove(name);
        }
    }
    shell
        .env_remove("RUSTFLAGS")
        .env("CARGO_TARGET_DIR", target_dir);
    shell.output().expect("a shell")
}

/// Class of every sample, by the host's simulation of the project's files; the first of equal ones.
fn classes(project: &Path) -> Vec<usize> {
    let blob = fs::read(project.join("model/model.fewbit")).expect("there");
    let samples = fs::read(project.join("model/samples.bin")).expect("there");
    let samples: Vec<i8> = samples.into_iter().map(u8::cast_signed).collect();
    let blob = AlignedBlob::new(&blob);
    let simulator = Simulator::new(blob.as_bytes()).expect("loads");
    let outputs = simulator.run(&samples, None).expect("runs").output;
    outputs
        .chunks_exact(simulator.output_elements())
        .map(|scores| {
            let best = scores.iter().max();
            scores
                .iter()
                .position(|score| Some(score) == best)
                .expect("not empty")
        })
        .collect()
}

#[test]
fn a_new_project_runs_as_its_readme_says() {
    let folder = tempfile::tempdir().expect("a folder");
    // The last has a name that needs quoting in TOML and Rust.
    let projects = [
        ("mps2-an386", "plain", "xtask"),
        ("mps2-an385-v6m", "deep/er", "fewbit"),
        ("riscv-virt", "with space", "xtask"),
    ];
    for (board, place, program) in projects.into_iter().take(sampled(3, 1)) {
        let project = folder.path().join(place).join("my-app");
        fs::create_dir_all(project.parent().expect("has one")).expect("writable");
        make(&project, board, program);
        let output = follow_readme(&project, &folder.path().join("target"));
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{board}: {text}{errors}");
        let found: Vec<usize> = text
            .lines()
            .filter_map(|line| {
                line.split_once(": class ")?
                    .1
                    .split_once(',')?
                    .0
                    .parse()
                    .ok()
            })
            .collect();
        let expected = classes(&project);
        assert_eq!(expected.len(), 5);
        assert_eq!(found, expected, "{board}: {text}");
        refuses_a_broken_model(&project, &folder.path().join("target"));
    }
}

/// A blob that was cut short ends the build with an error of cargo's that names the file, and with no panic.
fn refuses_a_broken_model(project: &Path, target_dir: &Path) {
    let model = project.join("model/model.fewbit");
    let blob = fs::read(&model).expect("there");
    fs::write(&model, &blob[..blob.len() / 2]).expect("writable");
    let output = follow_readme(project, target_dir);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{errors}");
    assert!(
        errors.contains("error: my-app@0.1.0: model/model.fewbit is not a blob"),
        "{errors}"
    );
    assert!(!errors.contains("panicked"), "{errors}");
}
