//! Examples of firmware give the host's bytes on the emulated Cortex-M4.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on. `--nocapture` shows the output of the examples.

#![cfg(feature = "device")]

use std::{fs, path::Path, process::Stdio, time::Duration};

use fewbit::measure::simulate::Simulator;
use fewbit::pipeline::Quantized;
use fewbit::recipe::WeightBits;
use fewbit_device::{board::Board, firmware, process, qemu, setup};
use fewbit_runtime::format::family::Family;
use fewbit_tests::networks::Network;
use fewbit_tests::{digits, repository};

const SAMPLES: usize = 100;

fn board() -> Board {
    Board::load(repository(), "mps2-an386").expect("known")
}

/// An example's program, with the model in `FEWBIT_BLOB`, and with another one if it takes two.
fn built(package: &str, blob: &[u8], second: Option<&Path>) -> Vec<u8> {
    let toolchain = setup::ensure().expect("a toolchain");
    firmware::built_with(&board(), &toolchain, blob, package, |cargo| {
        if let Some(second) = second {
            cargo.env("FEWBIT_SECOND_BLOB", second);
        }
        Ok(())
    })
    .expect("builds")
}

/// Output of a program, and whether it ends well; `arguments` are the emulator's.
fn run(folder: &Path, elf: &[u8], arguments: &[&str]) -> (String, bool) {
    let program = folder.join("example.elf");
    fs::write(&program, elf).expect("writable");
    let printed = folder.join("printed");
    let file = fs::File::create(&printed).expect("writable");
    let mut command = qemu::command(&board(), &program, "none", "none").expect("an emulator");
    command
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file);
    let mut child = command.spawn().expect("starts");
    let status = process::wait(&mut child, Duration::from_secs(300)).expect("ends");
    let text = fs::read_to_string(&printed).expect("text");
    print!("{text}");
    (text, status.success())
}

/// Writes the first samples as quantized inputs, and returns the host's result for each.
fn on_host(network: &Network, quantized: &Quantized, folder: &Path) -> Vec<Vec<i8>> {
    let simulator = Simulator::new(quantized.blob.as_bytes()).expect("loads");
    let samples = &network.evaluation.inputs[..SAMPLES * network.evaluation.elements()];
    let inputs = simulator.quantize_inputs(samples);
    let bytes: Vec<u8> = inputs.iter().map(|value| value.cast_unsigned()).collect();
    fs::write(folder.join("samples.bin"), bytes).expect("writable");
    let outputs = simulator.run(&inputs, None).expect("runs").output;
    outputs
        .chunks_exact(simulator.output_elements())
        .map(<[i8]>::to_vec)
        .collect()
}

/// The best score less the next one.
fn lead(scores: &[i8]) -> i32 {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable();
    let [.., next, best] = sorted[..] else {
        panic!("two classes or more");
    };
    i32::from(best) - i32::from(next)
}

#[test]
fn two_models_share_an_arena_and_the_second_is_asked_where_the_first_is_not_sure() {
    let mut network = digits();
    let folder = tempfile::tempdir().expect("a folder");
    let second = network.quantize_for(Family::Dsp).expect("quantizes");
    network.recipe.weights.bits = WeightBits::Int4;
    let first = network.quantize_for(Family::Dsp).expect("quantizes");
    let second_file = folder.path().join("second.fewbit");
    fs::write(&second_file, second.blob.as_bytes()).expect("writable");
    let elf = built("two-models", first.blob.as_bytes(), Some(&second_file));

    let of_first = on_host(&network, &first, folder.path());
    let of_second = on_host(&network, &second, folder.path());
    assert_ne!(of_first, of_second, "two models");
    let mut expected = Vec::new();
    for (first, second) in of_first.iter().zip(&of_second) {
        expected.push(format!("first {first:?}"));
        // As the example's `SURE`.
        if lead(first) < 20 {
            expected.push(format!("second {second:?}"));
        }
    }
    let asked = expected.len() - SAMPLES;
    assert!(0 < asked && asked < SAMPLES, "asked {asked} times");
    let (text, well) = run(folder.path(), &elf, &[]);
    let found: Vec<&str> = text.lines().collect();
    assert!(well, "{text}");
    assert_eq!(found, expected);
    println!("the second model was asked {asked} times");
}

#[test]
fn a_model_in_external_flash_runs_and_anything_else_there_is_refused() {
    let network = digits();
    let folder = tempfile::tempdir().expect("a folder");
    let quantized = network.quantize_for(Family::Dsp).expect("quantizes");
    let blob = quantized.blob.as_bytes();
    let elf = built("external-flash", blob, None);
    // The header with its checksum: the program is not to hold the blob.
    let header = &blob[..32];
    assert!(!elf.windows(32).any(|window| window == header));

    let expected = on_host(&network, &quantized, folder.path());
    let expected: Vec<String> = expected.iter().map(|line| format!("{line:?}")).collect();
    let model = folder.path().join("model.fewbit");
    let loader = format!(
        "loader,file={},addr=0x21000000,force-raw=on",
        model.display()
    );
    let with_model = |blob: &[u8]| {
        fs::write(&model, blob).expect("writable");
        run(folder.path(), &elf, &["-device", &loader])
    };
    let (text, well) = with_model(blob);
    assert!(well, "{text}");
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);

    // One bit of the model, the last one.
    let mut damaged = blob.to_vec();
    *damaged.last_mut().expect("not empty") ^= 1;
    let (text, well) = with_model(&damaged);
    assert!(!well && text.contains("damaged"), "{text}");
    // Nothing there.
    let (text, well) = run(folder.path(), &elf, &[]);
    assert!(!well && text.contains("not a fewbit blob"), "{text}");
}
