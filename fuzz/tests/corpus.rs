//! The first inputs hold everything that the formats have.
//!
//! The list of formats comes from the code: a new operator or bit of a kernel fails here until the corpus has it.

use fewbit_fuzz::blob::{self, Parts, kinds, weight_types};
use fewbit_fuzz::{TARGETS, campaign};
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::program::{Op, Tensor, WeightType};
use fewbit_runtime::load::kernels_of;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The blobs, made once for all tests.
static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(blob::corpus);

/// Operators whose output may lie over an input.
const IN_PLACE: [&str; 13] = [
    "conv_2d",
    "depthwise_conv_2d",
    "max_pool",
    "average_pool",
    "add",
    "mul",
    "max",
    "min",
    "lut",
    "softmax",
    "scaled_softmax",
    "reshape",
    "concat",
];

fn span(tensor: &Tensor) -> std::ops::Range<u64> {
    let start = u64::from(tensor.offset);
    start..start + tensor.bytes()
}

fn weight_type(op: &Op) -> Option<WeightType> {
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => Some(op.weight_type),
        Op::FullyConnected(op) => Some(op.weight_type),
        _ => None,
    }
}

#[test]
fn every_operator_is_there_in_every_packing_and_in_place() {
    let (mut met, mut in_place) = (BTreeSet::new(), BTreeSet::new());
    for blob in CORPUS.iter() {
        let Parts { program, .. } = Parts::decode(blob).expect("can be decoded");
        for op in &program.ops {
            met.insert((op.kind(), program.packing.name()));
            let tensor = |index: u16| &program.tensors[usize::from(index)];
            let output = span(tensor(op.output()));
            let over = |input: u16| {
                let input = span(tensor(input));
                input.start < output.end && output.start < input.end
            };
            if op.inputs().any(over) {
                in_place.insert((op.kind(), program.packing.name()));
            }
        }
    }
    let kinds = kinds();
    assert!(kinds.len() >= 15, "{kinds:?}");
    let all = |kinds: &[&'static str]| -> BTreeSet<(&'static str, &'static str)> {
        let of = |&kind| Family::ALL.map(|packing| (kind, packing.name()));
        kinds.iter().flat_map(of).collect()
    };
    assert_eq!(met, all(&kinds));
    let missing: Vec<_> = all(&IN_PLACE).difference(&in_place).copied().collect();
    assert!(missing.is_empty(), "never in place: {missing:?}");
}

#[test]
fn every_type_of_weights_is_there() {
    let mut met = Vec::new();
    for blob in CORPUS.iter() {
        let Parts { program, .. } = Parts::decode(blob).expect("can be decoded");
        let typed = |op: &Op| Some((op.kind(), weight_type(op)?));
        met.extend(program.ops.iter().filter_map(typed));
    }
    let types = weight_types();
    assert!(types.len() >= 4, "{types:?}");
    for kind in ["conv_2d", "fully_connected", "depthwise_conv_2d"] {
        for &weight_type in &types {
            let possible = kind != "depthwise_conv_2d" || !weight_type.is_paired();
            assert_eq!(
                met.contains(&(kind, weight_type)),
                possible,
                "{kind} {weight_type:?}"
            );
        }
    }
}

#[test]
fn every_part_of_a_kernel_is_there() {
    // As the runtime declares them, one bit a line.
    let source = include_str!("../../runtime/src/parts.rs");
    let bits = source
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pub(crate) const ")?
                .split_once(": KernelSet = bit(")
        })
        .filter_map(|(name, value)| {
            let number = value.strip_suffix(");")?.parse::<u32>().ok()?;
            Some((name, 1_u64 << number))
        });
    let bits: Vec<_> = bits.collect();
    assert!(bits.len() >= 29, "{bits:?}");
    let needed = |blob: &Vec<u8>| kernels_of(blob).expect("sound").bits();
    let met = CORPUS.iter().map(needed).fold(0, |all, one| all | one);
    let missing: Vec<_> = bits.iter().filter(|(_, bit)| met & bit == 0).collect();
    assert!(missing.is_empty(), "no blob needs {missing:?}");
}

#[test]
fn programs_of_many_operators_inputs_and_outputs_are_there() {
    let programs = CORPUS.iter().filter_map(|blob| {
        let aligned = fewbit_runtime::AlignedBlob::new(blob);
        fewbit::compile::HostModel::from_bytes(aligned.as_bytes()).ok()?;
        Some(Parts::decode(blob).expect("can be decoded").program)
    });
    let programs: Vec<_> = programs.collect();
    let any = |what: &dyn Fn(&fewbit_runtime::ProgramParts) -> bool| {
        programs.iter().filter(|&program| what(program)).count()
    };
    for packing in Family::ALL {
        let mine = |program: &fewbit_runtime::ProgramParts| program.packing == packing;
        assert!(any(&|p| mine(p) && p.ops.len() > 8) > 5, "{packing:?}");
        assert!(any(&|p| mine(p) && p.inputs.len() > 1) > 5, "{packing:?}");
        assert!(any(&|p| mine(p) && p.outputs.len() > 1) > 2, "{packing:?}");
    }
}

#[test]
fn the_first_inputs_of_all_targets_pass_and_are_mostly_accepted() {
    for target in TARGETS {
        let corpus = match target.name {
            "blob" => CORPUS.clone(),
            _ => (target.corpus)(),
        };
        assert!(!corpus.is_empty(), "{target:?}");
        let mut accepted = 0;
        for input in &corpus {
            let outcome = campaign::attempt(&target, input);
            let outcome = outcome.unwrap_or_else(|failure| panic!("{target:?}: {failure}"));
            accepted += usize::from(outcome.refusal.is_none());
        }
        assert!(
            2 * accepted > corpus.len(),
            "{target:?}: {accepted} of {}",
            corpus.len()
        );
    }
}

#[test]
fn the_first_inputs_are_the_same_in_every_run() {
    for target in TARGETS {
        let again = (target.corpus)();
        let first = match target.name {
            "blob" => CORPUS.clone(),
            _ => (target.corpus)(),
        };
        assert!(first == again, "{target:?}");
    }
}
