//! The same program in other places and other orders of weights.

use super::parts::Parts;
use super::{ARENA_LIMIT, Loaded, ORACLE_LIMIT, rows, steps};
use fewbit_runtime::format::family::Family;
use fewbit_runtime::load;
use fewbit_runtime::pack;
use fewbit_runtime::{AlignedBlob, BlobWriter, LoadError, PortInfo};
use fewbit_tests::oracle::{Sections, run};

/// Results of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// The model's inputs.
    pub(super) inputs: Vec<Vec<i8>>,
    /// Output of each operator, right after it.
    pub(super) ops: Vec<Vec<i8>>,
    /// The model's outputs, at the end.
    pub(super) outputs: Vec<Vec<i8>>,
}

impl Observed {
    /// Panics if another run of the same program gave anything else.
    pub(super) fn same_as(&self, other: &Observed, what: &str) {
        for (op, (expected, found)) in self.ops.iter().zip(&other.ops).enumerate() {
            if let Some(at) = (0..expected.len()).find(|&at| expected.get(at) != found.get(at)) {
                panic!(
                    "{what}: operator {op} differs at byte {at}: {} and {:?}",
                    expected[at],
                    found.get(at)
                );
            }
        }
        assert_eq!(self.ops.len(), other.ops.len(), "{what}: operators");
        assert!(self.outputs == other.outputs, "{what}: outputs differ");
    }
}

/// Inputs that follow from the blob.
fn inputs(blob: &[u8], model: &Loaded<'_>) -> Vec<Vec<i8>> {
    let seed = blob.iter().fold(0_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rng = fastrand::Rng::with_seed(seed);
    let mode = rng.u8(0..6);
    (0..model.input_count())
        .map(|index| {
            let length = model.input(index).map_or(0, |port: PortInfo| port.bytes());
            (0..length)
                .map(|_| match mode {
                    0 => 127,
                    1 => -128,
                    2 => [127, -128][rng.usize(0..2)],
                    _ => rng.i8(..),
                })
                .collect()
        })
        .collect()
}

/// Runs a blob that is loaded in every way, and returns what it gives.
pub(super) fn check(blob: &[u8], model: &Loaded<'_>) -> Observed {
    let inputs = inputs(blob, model);
    let observed = steps(model, 0x5A, &inputs);
    observed.same_as(&steps(model, -0x5B, &inputs), "another fill of the arena");

    let parts = Parts::decode(blob).expect("it was loaded");
    assert!(parts.program == fewbit_runtime::ProgramParts::of(model));
    let limit = 4 * ARENA_LIMIT as u64;
    if let Some(disjoint) = parts.clone().disjoint(limit) {
        again(&disjoint, &observed, "tensors at places of their own");
    }
    let rows = rows::in_rows(&parts).expect("its weights are in the section");
    for family in Family::ALL {
        if let Some(packed) = packed_for(&rows, family, limit) {
            again(&packed, &observed, family.name());
        }
    }
    if model.work() <= ORACLE_LIMIT {
        let sections = Sections {
            weights: &rows.weights,
            params: &rows.params,
        };
        let (outputs, _) = run(&rows.program, &sections, &observed.inputs);
        assert!(outputs == observed.outputs, "the oracle's outputs differ");
    }
    observed
}

/// A program with its weights in rows, packed for a family with all the scratch that its kernels want, and disjoint.
pub(super) fn packed_for(rows: &Parts, family: Family, limit: u64) -> Option<Parts> {
    let mut packed = rows.clone().with_packing(family);
    let sections = BlobWriter::with_sections(packed.weights, packed.params.clone());
    let program = &mut packed.program;
    let sections = pack::pack(family, &mut program.ops, &program.tensors, &sections);
    packed.weights = sections.weights().to_vec();
    for op in &mut program.ops {
        let bytes = load::scratch_bytes(op, &program.tensors, family);
        if let Some(scratch) = op.scratch_mut() {
            scratch.bytes = u32::try_from(bytes)
                .ok()
                .filter(|&b| u64::from(b) <= limit)?;
        }
    }
    packed.disjoint(limit)
}

/// Runs the same program in another form, which has to be loaded and to give the same.
fn again(parts: &Parts, expected: &Observed, what: &str) {
    let blob = AlignedBlob::new(&parts.encode());
    match Loaded::<'_>::from_bytes(blob.as_bytes()) {
        Ok(model) => expected.same_as(&steps(&model, 0x33, &expected.inputs), what),
        // They depend on the blob's length, which is another.
        Err(LoadError::Reads { .. } | LoadError::Lifetimes { .. }) => {}
        Err(error) => panic!("{what}: refused: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed() -> Observed {
        Observed {
            inputs: vec![vec![1]],
            ops: vec![vec![2, 3], vec![4]],
            outputs: vec![vec![4]],
        }
    }

    #[test]
    #[should_panic(expected = "a test: operator 0 differs at byte 1: 3 and Some(5)")]
    fn an_operator_that_differs_is_named() {
        let mut other = observed();
        other.ops[0][1] = 5;
        observed().same_as(&other, "a test");
    }

    #[test]
    #[should_panic(expected = "a test: outputs differ")]
    fn outputs_that_differ_are_found() {
        let mut other = observed();
        other.outputs[0][0] = 5;
        observed().same_as(&other, "a test");
    }
}
