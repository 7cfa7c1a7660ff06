//! A blob for any processor, packed for a board by the commands that take one.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::{fs, path::Path};

use clap::Parser as _;
use fewbit_cli::{Cli, Environment, execute};
use fewbit_tests::repository;
use serde_json::Value;

/// Runs a command in a folder's name; its error as a user sees it.
fn run(words: &[&str]) -> Result<(), String> {
    let cli = Cli::try_parse_from([&["fewbit"], words].concat()).expect("a command line");
    let environment = Environment::new(Some(repository().root().to_owned()));
    execute(&cli.command, &environment).map_err(|error| format!("{error:#}"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("written")).expect("JSON")
}

/// Texts of a report's keys.
fn texts<'a>(report: &'a Value, keys: &[&str]) -> Vec<&'a str> {
    let text = |key: &&str| report[*key].as_str().expect("a text");
    keys.iter().map(text).collect()
}

#[test]
fn commands_pack_for_a_board_and_the_outputs_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (plain, dsp, report) = (path("plain.fewbit"), path("dsp.fewbit"), path("r.json"));
    run(&["quantize", "--out", &plain]).expect("quantizes");
    run(&["quantize", "--target", "mps2-an386", "--out", &dsp]).expect("quantizes");
    let before = fs::read(&plain).expect("there");

    // Each says what the blob is packed for.
    let mut packings = Vec::new();
    for blob in [&plain, &dsp] {
        run(&["inspect", blob, "--json", &report]).expect("inspects");
        packings.push(json(report.as_ref())["blob"]["packing"].clone());
    }
    assert_eq!(packings, ["scalar", "dsp"]);

    // The same outputs for fewer instructions, and the file as it was.
    let verify = |more: &[&str]| {
        let words = ["verify", &plain, "--limit", "3", "--json", &report];
        run(&[&words, more].concat()).expect("equal in every byte");
        json(report.as_ref())
    };
    let as_given = verify(&[]);
    let keys = ["board", "kernels", "packing"];
    assert_eq!(texts(&as_given, &keys), ["mps2-an386", "dsp", "scalar"]);
    assert_eq!(as_given["repacked"], false);
    let repacked = verify(&["--repack"]);
    assert_eq!(texts(&repacked, &keys), ["mps2-an386", "dsp", "dsp"]);
    assert_eq!(repacked["repacked"], true);
    assert_eq!(repacked["identical"], 3);
    let cost = |report: &Value| {
        report["instructions_per_inference"]
            .as_u64()
            .expect("counted")
    };
    println!("{} -> {} instructions", cost(&as_given), cost(&repacked));
    assert!(cost(&repacked) < cost(&as_given));
    assert!(fs::read(&plain).expect("there") == before);

    // A project's model is the one that is quantized for its board.
    let project = path("my-app");
    run(&["new", &project, "--board", "mps2-an386", "--blob", &plain]).expect("makes it");
    let model = fs::read(Path::new(&project).join("model/model.fewbit")).expect("there");
    assert!(model == fs::read(&dsp).expect("there"));

    // One that is packed for another family is refused, with the way out.
    let other = path("other-app");
    for words in [
        &["verify", &dsp, "--board", "mps3-an547", "--repack"][..],
        &["verify", &dsp, "--board", "mps2-an385"],
        &["new", &other, "--board", "mps3-an547", "--blob", &dsp],
    ] {
        let error = run(words).expect_err("refused");
        let board = words
            .iter()
            .find(|word| word.starts_with("mps"))
            .expect("named");
        assert!(
            error.contains("the blob is packed for the kernel family `dsp`")
                && error.contains(&format!(
                    "quantize with --target {board}, or without for any board"
                )),
            "{error}"
        );
    }
    assert!(!Path::new(&other).exists());
}
