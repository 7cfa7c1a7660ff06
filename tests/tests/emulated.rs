//! Host and emulated boards give the same bytes, on whole networks.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use fewbit::output::write_atomically;
use fewbit_tests::models;
use fewbit_tests::networks::Network;
use xtask::verify::{self, VerifyReport};

const M3: &str = "mps2-an385";
const M4: &str = "mps2-an386";

/// Verifies the first `count` evaluation samples of a network on a board.
fn verified(network: &Network, board: &str, count: usize) -> VerifyReport {
    let quantized = network.quantize();
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
    let report = verify::verify_samples(board, &blob, inputs, labels, verify::LIMIT).expect("runs");
    println!("{}", verify::summary(&report));
    report
}

fn check(network: Option<Network>, board: &str, count: usize) {
    let Some(network) = network else {
        return models::skipped();
    };
    let report = verified(&network, board, count);
    assert_eq!(report.inputs, count);
    assert_eq!(report.identical, count, "{:?}", report.differences);
}

#[test]
fn digits_on_the_m3() {
    let report = verified(&Network::digits(), M3, 500);
    assert_eq!(
        (report.inputs, report.identical),
        (500, 500),
        "{:?}",
        report.differences
    );
    assert!(report.top1 >= Some(0.97), "{:?}", report.top1);
}

#[test]
fn digits_on_the_m4() {
    let report = verified(&Network::digits(), M4, 500);
    assert_eq!(
        (report.inputs, report.identical),
        (500, 500),
        "{:?}",
        report.differences
    );
    assert!(report.top1 >= Some(0.97), "{:?}", report.top1);
}

#[test]
fn resnet8_on_the_m3() {
    check(Network::resnet8(), M3, 50);
}

#[test]
fn resnet8_on_the_m4() {
    check(Network::resnet8(), M4, 50);
}

#[test]
fn kws_on_the_m3() {
    check(Network::kws(), M3, 50);
}

#[test]
fn kws_on_the_m4() {
    check(Network::kws(), M4, 50);
}

#[test]
fn vww_on_the_m3() {
    check(Network::vww(), M3, 50);
}

#[test]
fn vww_on_the_m4() {
    check(Network::vww(), M4, 50);
}
