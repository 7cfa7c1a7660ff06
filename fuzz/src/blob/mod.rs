//! Blobs: every blob that loads runs, and always to the same bytes.
//!
//! An accepted blob runs with two fills of the arena, with every tensor at a place of its own, and in every kernel family; all runs must give the bytes of
//! every operator again, and the outputs those of the oracle that is written from the specification.

mod corpus;
mod fields;
mod mutate;
mod parts;
mod rows;
mod simpler;
mod splice;
mod variants;

pub use corpus::{corpus, kinds, weight_types};
pub use parts::{Parts, seal};

use crate::{Outcome, Target};
use fewbit::compile::HostModel;
use fewbit::measure::simulate::Simulator;
use fewbit_runtime::load::kernels_of;
use fewbit_runtime::parts::{AllKernels, KernelSet, Kernels, Linked};
use fewbit_runtime::{AlignedBlob, Engine, LoadError, Metadata, Model, Summary};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The target.
pub const TARGET: Target = Target {
    name: "blob",
    about: "loader, kernels and planner's rules",
    run,
    corpus,
    mutate: mutate::mutate,
    mend: |blob| seal(blob),
    simpler: simpler::simpler,
    refusals: || LoadError::NAMES.to_vec(),
};

/// Room for tensors and operators.
const CAPACITY: usize = 128;

/// A model with that room.
type Loaded<'a, K = AllKernels> = Model<'a, CAPACITY, CAPACITY, K>;

/// Larger arenas are legal, but slow to fill a thousand times a second.
const ARENA_LIMIT: usize = 1 << 20;

/// Operations of a run here. More are legal, up to hours.
const WORK_LIMIT: u64 = 1 << 19;

/// Operations that the oracle computes, in integers of 128 bits.
const ORACLE_LIMIT: u64 = 1 << 14;

/// Loads a blob and, where it is accepted, runs it in every way.
///
/// # Panics
/// If something does not hold that should.
pub fn run(bytes: &[u8]) -> Outcome {
    let aligned = AlignedBlob::new(bytes);
    let blob = aligned.as_bytes();
    let summary = Summary::from_bytes(blob);
    let needed = kernels_of(blob);
    let metadata = Metadata::from_bytes(blob);
    let mut also = vec![misaligned(bytes)];
    let loaded = Loaded::<'_>::from_bytes(blob);
    match (&summary, &loaded) {
        (Err(header), Err(model)) => {
            assert_eq!(header, model, "header and model are refused alike")
        }
        (Err(header), Ok(_)) => panic!("a model is loaded whose header is refused: {header}"),
        _ => {}
    }
    assert_eq!(summary.is_err(), metadata.is_err());
    match loaded {
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            also.extend(restricted(blob, None));
            also.extend(with_more_room(blob, &error));
            let (subjects, detail) = subject(blob, &error);
            Outcome {
                detail,
                also,
                ..Outcome::refused(error.name(), subjects)
            }
        }
        Ok(model) => {
            let summary = summary.expect("checked above");
            let needed = needed.expect("what is loaded can be decoded");
            agree(&summary, &model);
            also.extend(restricted(blob, Some(needed)));
            if model.arena_bytes() <= ARENA_LIMIT && model.work() <= WORK_LIMIT {
                let observed = variants::check(blob, &model);
                simulated(blob, &observed);
            }
            let kinds = model.program().ops.iter().map(|op| op.kind());
            let detail = needed.bits() | (model.packing() as u64) << 62;
            Outcome {
                also,
                ..Outcome::accepted(kinds.collect(), detail)
            }
        }
    }
}

/// A blob that does not start at a multiple of 16 is refused, whatever its contents.
fn misaligned(bytes: &[u8]) -> &'static str {
    let mut moved = vec![0];
    moved.extend(&bytes[..bytes.len().min(80)]);
    let moved = AlignedBlob::new(&moved);
    let refused = Loaded::<'_>::from_bytes(&moved.as_bytes()[1..]).err();
    assert_eq!(refused, Some(LoadError::Misaligned { found: 1 }));
    LoadError::Misaligned { found: 1 }.name()
}

/// A blob of more tensors or operators than there is room for, loaded with the room that host tools have.
fn with_more_room(blob: &[u8], error: &LoadError) -> Option<&'static str> {
    match error {
        LoadError::TensorCapacity { .. } | LoadError::OpCapacity { .. } => {
            let error = Box::new(HostModel::from_bytes(blob)).err()?;
            Some(error.name())
        }
        _ => None,
    }
}

/// The summary and the model say the same.
fn agree(summary: &Summary, model: &Loaded<'_>) {
    assert_eq!(usize::from(summary.tensors), model.tensor_count());
    assert_eq!(usize::from(summary.ops), model.op_count());
    assert_eq!(summary.arena_bytes as usize, model.arena_bytes());
    assert_eq!(summary.packing, model.packing());
    assert_eq!(summary.weights_bytes as usize, model.weights().len());
    assert_eq!(summary.parameters_bytes as usize, 4 * model.params().len());
    assert_eq!(summary.metadata_bytes as usize, model.metadata().len());
    let mut operations = 0_u64;
    for op in 0..model.op_count() {
        operations = operations.saturating_add(model.macs(op));
    }
    assert!(operations <= model.work());
    for index in 0..=model.input_count() {
        assert_eq!(model.input(index).is_some(), index < model.input_count());
    }
    for index in 0..=model.output_count() {
        assert_eq!(model.output(index).is_some(), index < model.output_count());
    }
}

/// A build with some kernels only loads what a build of all does and needs no others.
fn restricted(blob: &[u8], needed: Option<KernelSet>) -> Option<&'static str> {
    fn check<K: Kernels>(blob: &[u8], needed: Option<KernelSet>) -> Option<&'static str> {
        let loaded = Loaded::<'_, K>::with_kernels(blob);
        let expected = needed.is_some_and(|needed| K::LINKED.has_all(needed));
        match loaded {
            Ok(_) => {
                assert!(expected, "{:x?} loads what needs {needed:x?}", K::LINKED);
                None
            }
            Err(error) => {
                assert!(
                    !expected,
                    "{:x?} refuses what needs {needed:x?}: {error}",
                    K::LINKED
                );
                Some(error.name())
            }
        }
    }
    // One half of the bits or the other, int8 or int4, the shorter or the longer output stages.
    type Check = fn(&[u8], Option<KernelSet>) -> Option<&'static str>;
    const CHECKS: [Check; 6] = [
        check::<Linked<0x5555_5555_5555_5555>>,
        check::<Linked<0xAAAA_AAAA_AAAA_AAAA>>,
        check::<Linked<{ !(1 << 21) }>>,
        check::<Linked<{ !(1 << 22) }>>,
        check::<Linked<{ !(1 << 20) }>>,
        check::<Linked<{ !(1 << 28 | 1 << 23) }>>,
    ];
    let which = blob.len() / 16 + blob.get(16).map_or(0, |byte| usize::from(*byte));
    CHECKS[which % CHECKS.len()](blob, needed)
}

/// Detail of a refusal: the operator's kind, and the axis or section.
fn subject(blob: &[u8], error: &LoadError) -> (Vec<&'static str>, u64) {
    let text = format!("{error:?}");
    let number = |name: &str| -> Option<usize> {
        let (_, rest) = text.split_once(name)?;
        rest.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    let kind = number("{ op: ").and_then(|op| {
        let parts = Parts::decode(blob)?;
        Some(parts.program.ops.get(op)?.kind())
    });
    let mut hasher = DefaultHasher::new();
    (
        number("axis: "),
        text.split_once("section: ")
            .map(|(_, s)| s.as_bytes().first().copied()),
    )
        .hash(&mut hasher);
    (kind.into_iter().collect(), hasher.finish())
}

/// The host's simulation accepts the blob too, or gives a reason, and computes the same.
fn simulated(blob: &[u8], observed: &variants::Observed) {
    let Ok(simulator) = Simulator::new(blob) else {
        return;
    };
    for op in 0..=simulator.model().op_count() {
        let _ = (simulator.op_name(op), simulator.op_encoding(op));
    }
    let _ = (simulator.input_source(), simulator.output_name());
    let _ = (simulator.output_form(), simulator.input_encoding());
    let ops = simulator.model().op_count();
    let outputs = simulator.run(&observed.inputs[0], ops.checked_sub(1));
    let outputs = outputs.expect("a sample of the right length");
    assert_eq!(
        outputs.output, observed.outputs[0],
        "the simulation differs"
    );
    if let Some(last) = observed.ops.last() {
        assert_eq!(outputs.captured, *last, "the last operator differs");
    }
}

/// Runs a model, whose arena is full of `fill`, operator by operator.
fn steps(model: &Loaded<'_>, fill: i8, inputs: &[Vec<i8>]) -> variants::Observed {
    let mut arena = vec![fill; model.arena_bytes()];
    let mut engine = Engine::new(model, &mut arena).expect("as large as the model says");
    let mut once = || {
        for (index, data) in inputs.iter().enumerate() {
            engine.input_mut(index).copy_from_slice(data);
        }
        let mut ops = Vec::new();
        for op in 0..engine.op_count() {
            engine.step(op);
            ops.push(engine.op_output(op).to_vec());
        }
        let outputs = 0..model.output_count();
        variants::Observed {
            inputs: inputs.to_vec(),
            ops,
            outputs: outputs.map(|index| engine.output(index).to_vec()).collect(),
        }
    };
    let observed = once();
    // In the arena as the first run has left it.
    observed.same_as(&once(), "a second run");
    observed
}
