//! Host and emulated boards give the same bytes, on whole networks.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use fewbit::measure::simulate::Simulator;
use fewbit::output::write_atomically;
use fewbit::recipe::{LayerOverride, WeightBits};
use fewbit_cli::verify::{self, VerifyReport};
use fewbit_device::board::Board;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::header::{Header, checksum};
use fewbit_runtime::format::program::{Clamp, Op};
use fewbit_tests::models;
use fewbit_tests::networks::{Net, Network};
use fewbit_tests::{digits, network, repository, sampled};

const M3: &str = "mps2-an385";
const M4: &str = "mps2-an386";

/// Verifies the first `count` evaluation samples of a network, packed for a board, on that board; the host runs the same kernels' models.
fn verified(network: &Network, board: &str, count: usize) -> VerifyReport {
    let board = Board::load(repository(), board).expect("known");
    let quantized = network.quantize_for(board.isa).expect("quantizes");
    let folder = tempfile::tempdir().expect("a folder");
    let blob = folder.path().join("network.fewbit");
    write_atomically(&blob, quantized.blob.as_bytes()).expect("writes");
    let elements = network.evaluation.elements();
    let samples = count.min(network.evaluation.samples);
    let inputs = &network.evaluation.inputs[..samples * elements];
    let labels = network
        .evaluation
        .labels
        .as_deref()
        .map(|labels| &labels[..samples]);
    let report =
        verify::verify_samples(&board, &blob, inputs, labels, verify::LIMIT).expect("runs");
    println!("{}", verify::summary(&report));
    report
}

fn check(network: Option<Network>, board: &str, count: usize) {
    let Some(network) = network else {
        return models::skipped();
    };
    let count = sampled(count, 2);
    let report = verified(&network, board, count);
    assert_eq!(report.inputs, count);
    assert_eq!(report.identical, count, "{:?}", report.differences);
}

/// A network whose quantization takes long: no part of a sample of the cases, which has digits and keywords.
fn whole_suite(net: Net, board: &str) {
    if sampled(true, false) {
        check(network(net), board, 50);
    }
}

/// A board whose flash holds one wrong weight: the operator that uses it is found, with index and both bytes.
#[test]
fn a_difference_is_traced_to_its_operator() {
    let network = digits();
    let quantized = network.quantize().expect("quantizes");
    let simulator = Simulator::new(quantized.blob.as_bytes()).expect("loads");
    let wrong_op = 5;
    let Op::Conv2d(conv) = &simulator.model().program().ops[wrong_op] else {
        panic!("operator {wrong_op} is a convolution");
    };
    let mut damaged = quantized.blob.as_bytes().to_vec();
    let section = Header::parse(&damaged).expect("valid").weights.offset;
    // The first 16 weights, so that some output is sure to change.
    let first = (section + conv.weights.get()) as usize;
    damaged[first..first + 16]
        .iter_mut()
        .for_each(|weight| *weight = weight.wrapping_neg());
    let crc = checksum(&damaged);
    damaged[16..20].copy_from_slice(&crc.to_le_bytes());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("damaged.fewbit");
    write_atomically(&path, &damaged).expect("writes");

    let m4 = Board::load(repository(), M4).expect("known");
    let samples = &network.evaluation.inputs[..2 * network.evaluation.elements()];
    let quantized = simulator.quantize_inputs(samples);
    let inputs: Vec<Vec<i8>> = quantized
        .chunks_exact(simulator.input_elements())
        .map(<[i8]>::to_vec)
        .collect();
    let report =
        verify::compare(&m4, &path, &simulator, &inputs, None, verify::LIMIT).expect("runs");
    assert!(
        report.identical < report.inputs,
        "the wrong weights change an output"
    );
    let difference = report.differences.first().expect("is explained");
    assert_eq!((difference.op, difference.kind), (wrong_op, "conv_2d"));
    assert_eq!(difference.name, simulator.op_name(wrong_op));
    assert_ne!(difference.expected, difference.found);
    let mut arena = vec![0; simulator.model().arena_bytes()];
    let check = |op: usize, bytes: &[i8]| {
        if op == wrong_op {
            assert_eq!(bytes[difference.index], difference.expected);
        }
    };
    simulator
        .run_observed(&inputs[difference.input], &mut arena, check)
        .expect("runs");
}

fn all_digits(board: &str) {
    let count = sampled(500, 50);
    let report = verified(&digits(), board, count);
    assert_eq!(
        (report.inputs, report.identical),
        (count, count),
        "{:?}",
        report.differences
    );
    // Of fewer, one more or less is a larger part.
    let least = sampled(0.97, 0.9);
    assert!(report.top1 >= Some(least), "{:?}", report.top1);
}

#[test]
fn digits_on_the_m3() {
    all_digits(M3);
}

#[test]
fn digits_on_the_m4() {
    all_digits(M4);
}

/// Every other core's code, over fewer digits: M0+, M7, M33, M55, an M4 with little memory, and RISC-V.
#[test]
fn digits_on_the_other_boards() {
    let network = digits();
    let all = [
        "mps2-an385-v6m",
        "mps3-an547",
        "riscv-virt",
        "mps2-an500",
        "mps2-an505",
        "netduinoplus2",
    ];
    for board in &all[..sampled(all.len(), 1)] {
        let report = verified(&network, board, 20);
        assert_eq!(
            (report.inputs, report.identical),
            (20, 20),
            "{board}: {:?}",
            report.differences
        );
    }
}

#[test]
fn resnet8_on_the_m3() {
    whole_suite(Net::Resnet8, M3);
}

#[test]
fn resnet8_on_the_m4() {
    whole_suite(Net::Resnet8, M4);
}

#[test]
fn kws_on_the_m3() {
    whole_suite(Net::Kws, M3);
}

#[test]
fn all_of_kws_on_the_m4() {
    check(network(Net::Kws), M4, 800);
}

/// A blob in the default order gives the same bytes on a board that has faster kernels for another.
#[test]
fn a_blob_for_any_board_on_the_m4() {
    let network = digits();
    let any = network.quantize().expect("quantizes");
    let own = network.quantize_for(Family::Dsp).expect("quantizes");
    let folder = tempfile::tempdir().expect("a folder");
    let elements = network.evaluation.elements();
    let inputs = &network.evaluation.inputs[..20 * elements];
    let m4 = Board::load(repository(), M4).expect("known");
    let outputs = [any, own].map(|quantized| {
        let blob = folder.path().join("network.fewbit");
        write_atomically(&blob, quantized.blob.as_bytes()).expect("writes");
        let report = verify::verify_samples(&m4, &blob, inputs, None, verify::LIMIT).expect("runs");
        assert_eq!(report.identical, 20, "{:?}", report.differences);
        let simulator = Simulator::new(quantized.blob.as_bytes()).expect("loads");
        let inputs = simulator.quantize_inputs(inputs);
        simulator.run(&inputs, None).expect("runs").output
    });
    assert_eq!(outputs[0], outputs[1]);
}

/// A blob that a board's kernels cannot run is refused before anything is built.
#[test]
fn a_blob_for_another_family_is_refused_by_name() {
    let quantized = digits().quantize_for(Family::Dsp).expect("quantizes");
    let board = Board::load(repository(), M3).expect("known");
    let error = fewbit_device::firmware::build_bytes(&board, quantized.blob.as_bytes())
        .expect_err("refused");
    let message = format!("{error:#}");
    assert!(
        message.contains("`dsp`") && message.contains(M3),
        "{message}"
    );
}

#[test]
fn vww_on_the_m3() {
    whole_suite(Net::Vww, M3);
}

#[test]
fn vww_on_the_m4() {
    whole_suite(Net::Vww, M4);
}

/// Clips become bounds for each channel when channels are scaled, and layers differ in the type of their weights.
#[test]
fn per_channel_clamps_and_mixed_weights_on_the_m4() {
    let mut network = network(Net::BiasShift).expect("part of the project");
    network.recipe.weights.bits = WeightBits::Int4;
    network.recipe.overrides = ["stem", "fc"]
        .map(|layers| LayerOverride {
            layers: layers.to_owned(),
            bits: Some(WeightBits::Int8),
            ..LayerOverride::default()
        })
        .to_vec();
    let quantized = network.quantize().expect("quantizes");
    let ops = quantized.lowered.ops.iter().map(|op| &op.op);
    let clamped = ops.filter(|op| match op {
        Op::Conv2d(conv) | Op::DepthwiseConv2d(conv) => {
            matches!(conv.requant.clamp, Clamp::PerChannel { .. })
        }
        _ => false,
    });
    assert!(clamped.count() > 0, "no layer got bounds for each channel");
    check(Some(network), M4, 100);
}
