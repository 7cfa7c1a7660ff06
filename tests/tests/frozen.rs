//! Blobs of every format version still load and give the bytes they gave.
//!
//! A blob is never rewritten: a new version adds files. `v<N>_digits.fewbit` is the digits network as that version's tool packed it, and the
//! `.npy` beside it holds its outputs for the first 20 test samples.

use fewbit::default_model;
use fewbit::measure::simulate::Simulator;
use fewbit_runtime::AlignedBlob;
use std::path::Path;

#[test]
fn old_blobs_give_their_old_bytes() {
    let folder = Path::new("blobs");
    let mut found = Vec::new();
    for version in 1..=fewbit_runtime::format::VERSION {
        let name = format!("v{version}_digits");
        let blob =
            std::fs::read(folder.join(format!("{name}.fewbit"))).expect("every version has a blob");
        let outputs = folder.join(format!("{name}_outputs.npy"));
        let outputs: ndarray::Array4<i8> = ndarray_npy::read_npy(outputs).expect("and its outputs");
        let blob = AlignedBlob::new(&blob);
        let simulator = Simulator::new(blob.as_bytes()).expect("it still loads");
        let (layout, transform) = simulator.input_source();
        let data = default_model::evaluation(&layout, &transform).expect("built in");
        let samples = &data.inputs[..20 * data.elements()];
        let run = simulator
            .run(&simulator.quantize_inputs(samples), None)
            .expect("it still runs");
        assert_eq!(Some(&run.output[..]), outputs.as_slice(), "{name}");
        found.push(name);
    }
    println!("checked {found:?}");
}
