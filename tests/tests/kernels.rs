//! The engine against the oracle, on random layers.
//!
//! Every byte of every output is compared. `FEWBIT_RANDOM_LAYERS` sets the number of layers (200000 if unset, 20000 in a sample) and
//! `FEWBIT_RANDOM_FIRST` the first seed (0), so that one failing layer can be run alone:
//! `FEWBIT_RANDOM_FIRST=<seed> FEWBIT_RANDOM_LAYERS=1 cargo test -p fewbit-tests --test kernels`.
//! From 20000 layers on, the test asserts that every corner was met.

use fewbit_runtime::format::family::Family;
use fewbit_runtime::load::kernels_of;
use fewbit_runtime::parts::{KernelSet, Kernels, Linked};
use fewbit_tests::compare::{compare, describe, same};
use fewbit_tests::layer::Layer;
use fewbit_tests::oracle::Trace;
use fewbit_tests::random_layer::{SHARES, random_layer};
use fewbit_tests::sampled;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::panic::catch_unwind;

/// Layers of one run, unless `FEWBIT_RANDOM_LAYERS` is set.
fn all_layers() -> u64 {
    sampled(200_000, LAYERS_THAT_MEET_ALL)
}

/// Fewer layers than this need not meet every corner.
const LAYERS_THAT_MEET_ALL: u64 = 20_000;
/// Failures that are printed in full.
const PRINTED_FAILURES: usize = 5;

/// Corners that layers of an operator must have had.
const FEATURES: [(&str, &[&str]); 16] = [
    (
        "conv_2d",
        &[
            "int8",
            "int4",
            "int4 with an odd row",
            "groups",
            "1x1",
            "biases at the bound",
            "no limits but int8's",
            "scratch",
            "pixels of whole words",
            "an odd number of channels",
            "more products than a chunk",
        ],
    ),
    (
        "depthwise_conv_2d",
        &[
            "int8",
            "int4",
            "int4 with an odd row",
            "depth multiplier",
            "biases at the bound",
            "no limits but int8's",
            "3x3, stride 1",
            "3x3, stride 2",
            "narrow",
        ],
    ),
    (
        "fully_connected",
        &[
            "int8",
            "int4",
            "int4 with an odd row",
            "biases at the bound",
            "no limits but int8's",
            "an odd number of channels",
            "more products than a chunk",
        ],
    ),
    ("max_pool", &["dilated"]),
    (
        "average_pool",
        &["a multiplier a count", "one multiplier", "dilated"],
    ),
    (
        "add",
        &[
            "a value per channel",
            "a single value",
            "an operand twice",
            "in place",
        ],
    ),
    (
        "mul",
        &[
            "a value per channel",
            "a single value",
            "an operand twice",
            "in place",
        ],
    ),
    ("lut", &["in place"]),
    (
        "softmax",
        &["2047 channels", "in place", "a scale of its own"],
    ),
    ("reshape", &["in place"]),
    ("transpose", &["identity permutation"]),
    (
        "concat",
        &["axis 0", "axis 1", "axis 2", "8 inputs", "an input twice"],
    ),
    ("pad", &["channel padding"]),
    ("constant", &[]),
    (
        "max",
        &[
            "a value per channel",
            "a single value",
            "an operand twice",
            "in place",
            "equal scales",
        ],
    ),
    (
        "min",
        &[
            "a value per channel",
            "a single value",
            "an operand twice",
            "in place",
            "equal scales",
        ],
    ),
];

/// Corners that layers of every operator in [`REQUANTIZED`] must have had.
const REQUANTIZED_FEATURES: [&str; 7] = [
    "zero_point -128",
    "zero_point 127",
    "multiplier 0",
    "multiplier 1",
    "multiplier 2^31 - 1",
    "a range of one value",
    "a range per channel",
];

/// Operators with windows, with weights, with accumulators, and with an output range.
const WINDOWED: [&str; 4] = ["conv_2d", "depthwise_conv_2d", "max_pool", "average_pool"];
const WEIGHTED: [&str; 3] = ["conv_2d", "depthwise_conv_2d", "fully_connected"];
const REQUANTIZED: [&str; 5] = [
    "conv_2d",
    "depthwise_conv_2d",
    "fully_connected",
    "average_pool",
    "mul",
];
const CLAMPED: [&str; 9] = [
    "conv_2d",
    "depthwise_conv_2d",
    "fully_connected",
    "max_pool",
    "average_pool",
    "add",
    "mul",
    "max",
    "min",
];

/// Properties of the layers of one operator.
#[derive(Clone, Debug, Default)]
struct Count {
    layers: u64,
    bytes: u64,
    trace: Trace,
    features: BTreeMap<&'static str, u64>,
}

/// The result of many layers.
#[derive(Clone, Debug, Default)]
struct Tally {
    counts: BTreeMap<&'static str, Count>,
    failures: BTreeMap<u64, String>,
}

impl Tally {
    fn merge(mut self, other: Tally) -> Tally {
        for (operator, theirs) in other.counts {
            let ours = self.counts.entry(operator).or_default();
            ours.layers += theirs.layers;
            ours.bytes += theirs.bytes;
            ours.trace.merge(&theirs.trace);
            for (feature, layers) in theirs.features {
                *ours.features.entry(feature).or_default() += layers;
            }
        }
        self.failures.extend(other.failures);
        self
    }
}

fn number_from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text:?} is not a number of layers")),
        Err(_) => default,
    }
}

fn run_seed(seed: u64) -> Tally {
    let mut tally = Tally::default();
    let generated =
        catch_unwind(|| random_layer(seed)).map_err(|_| "the generator panicked".to_owned());
    let result = generated.and_then(|random| {
        catch_unwind(|| compare(&random))
            .unwrap_or_else(|_| Err("the oracle panicked".to_owned()))
            .map_err(|what| describe(&random, &what))
            .map(|(trace, bytes)| (random, trace, bytes))
    });
    match result {
        Ok((random, trace, bytes)) => {
            let count = tally.counts.entry(random.operator).or_default();
            count.layers = 1;
            count.bytes = bytes as u64;
            count.trace = trace;
            count
                .features
                .extend(random.features.iter().map(|&feature| (feature, 1)));
        }
        Err(what) => {
            tally.failures.insert(seed, format!("seed {seed}: {what}"));
        }
    }
    tally
}

#[test]
fn random_layers_equal_the_oracle() {
    let layers = number_from_environment("FEWBIT_RANDOM_LAYERS", all_layers());
    let first = number_from_environment("FEWBIT_RANDOM_FIRST", 0);
    let tally = (first..first + layers)
        .into_par_iter()
        .map(run_seed)
        .reduce(Tally::default, Tally::merge);

    println!(
        "{:<18} {:>7} {:>11}  corners",
        "operator", "layers", "bytes"
    );
    for (operator, count) in &tally.counts {
        println!(
            "{operator:<18} {:>7} {:>11}  {:?}",
            count.layers, count.bytes, count.features
        );
        println!("{:<18} {:?}", "", count.trace);
    }
    let total: u64 = tally.counts.values().map(|count| count.layers).sum();
    println!("{total} of {layers} layers equal, from seed {first} on");

    let printed: Vec<&str> = tally
        .failures
        .values()
        .take(PRINTED_FAILURES)
        .map(String::as_str)
        .collect();
    assert!(
        tally.failures.is_empty(),
        "{} layers differ:\n{}",
        tally.failures.len(),
        printed.join("\n")
    );
    assert_eq!(total, layers);
    if layers >= LAYERS_THAT_MEET_ALL {
        assert_corners(&tally);
    }
}

#[test]
fn outputs_over_inputs_equal_the_oracle() {
    let layers = number_from_environment("FEWBIT_RANDOM_LAYERS", all_layers()) / 4;
    let first = number_from_environment("FEWBIT_RANDOM_FIRST", 0) + 500_000_000;
    let check = |seed: u64| -> Result<BTreeMap<&'static str, u64>, String> {
        let random = random_layer(seed);
        let mut counts = BTreeMap::new();
        for packing in Family::ALL {
            for more in [0, (seed % 7) as usize] {
                let Some(layer) = random.layer.in_place(packing, more) else {
                    continue;
                };
                let found = layer
                    .outputs()
                    .and_then(|found| same(&random.layer.expected().0, &found));
                let what = |what: String| {
                    format!(
                        "seed {seed}, family {}, {more} more: {}",
                        packing.name(),
                        describe(&random, &what)
                    )
                };
                found.map_err(what)?;
                *counts.entry(random.operator).or_default() += 1;
            }
        }
        Ok(counts)
    };
    let results: Vec<_> = (first..first + layers).into_par_iter().map(check).collect();
    let failures: Vec<String> = results
        .iter()
        .filter_map(|result| result.clone().err())
        .collect();
    let printed = failures
        .iter()
        .take(PRINTED_FAILURES)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        failures.is_empty(),
        "{} layers differ:\n{printed}",
        failures.len()
    );
    let mut counts = BTreeMap::new();
    for (operator, count) in results.into_iter().flatten().flatten() {
        *counts.entry(operator).or_insert(0) += count;
    }
    println!("{counts:?}");
    for operator in WINDOWED {
        assert!(
            layers < LAYERS_THAT_MEET_ALL || counts.contains_key(operator),
            "no {operator}"
        );
    }
}

/// A build without one kernel, or one part of a kernel: it refuses what needs it, and computes everything else as before.
fn check_without<K: Kernels>(
    layer: &Layer,
    needed: KernelSet,
    expected: &[Vec<i8>],
) -> Result<bool, String> {
    let what = |what: &str| format!("without {:#x}: {what}", !K::LINKED.bits());
    match (layer.run_with::<K>(), K::LINKED.has_all(needed)) {
        (Ok(found), true) => same(expected, &found)
            .map(|()| false)
            .map_err(|how| what(&how)),
        (Ok(_), false) => Err(what("runs what it has no kernel for")),
        (Err(_), false) => Ok(true),
        (Err(error), true) => Err(what(&error)),
    }
}

type CheckWithout = fn(&Layer, KernelSet, &[Vec<i8>]) -> Result<bool, String>;

/// [`check_without`] for each bit; a number per bit, as it is part of the model's type.
macro_rules! without {
    ($($bit:literal)*) => {
        [$(check_without::<Linked<{ !(1 << $bit) }>> as CheckWithout),*]
    };
}

const WITHOUT: [CheckWithout; 29] =
    without!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28);

#[test]
fn a_build_without_a_kernel_refuses_or_computes_the_same() {
    let layers = number_from_environment("FEWBIT_RANDOM_LAYERS", all_layers()) / 40;
    let first = number_from_environment("FEWBIT_RANDOM_FIRST", 0) + 700_000_000;
    let check = |seed: u64| -> Result<u32, String> {
        let random = random_layer(seed);
        let expected = random.layer.expected().0;
        let mut refused = 0;
        for packing in Family::ALL {
            let layer = random.layer.packed_for(packing);
            let needed = kernels_of(&layer.blob()?).map_err(|error| error.to_string())?;
            for (bit, check) in WITHOUT.iter().enumerate() {
                let result = check(&layer, needed, &expected);
                let is_refused = result.map_err(|what| {
                    let family = packing.name();
                    format!("seed {seed}, family {family}: {}", describe(&random, &what))
                })?;
                refused |= u32::from(is_refused) << bit;
            }
        }
        Ok(refused)
    };
    let results: Vec<_> = (first..first + layers).into_par_iter().map(check).collect();
    let failures: Vec<&str> = results
        .iter()
        .filter_map(|result| Some(result.as_ref().err()?.as_str()))
        .collect();
    let printed = &failures[..failures.len().min(PRINTED_FAILURES)];
    assert!(
        failures.is_empty(),
        "{} layers:\n{}",
        failures.len(),
        printed.join("\n")
    );
    let met = results.into_iter().flatten().fold(0, |all, one| all | one);
    assert!(
        layers < LAYERS_THAT_MEET_ALL / 40 || met == (1 << WITHOUT.len()) - 1,
        "no layer needed some of the bits: {met:#x}"
    );
}

/// Every operator and every corner was met, so that a change of the generator cannot silently drop one.
fn assert_corners(tally: &Tally) {
    let mut missing = Vec::new();
    let mut require = |operator: &str, corner: &str, times: u64| {
        if times == 0 {
            missing.push(format!("{operator}: {corner}"));
        }
    };
    assert_eq!(
        SHARES.map(|(operator, _)| operator),
        FEATURES.map(|(operator, _)| operator)
    );
    for (operator, features) in FEATURES {
        let count = tally.counts.get(operator).cloned().unwrap_or_default();
        let trace = count.trace;
        require(operator, "any layer", count.layers);
        let is_requantized = REQUANTIZED.contains(&operator);
        let common = if is_requantized {
            &REQUANTIZED_FEATURES[..]
        } else {
            &[]
        };
        for feature in features.iter().chain(common) {
            require(
                operator,
                feature,
                count.features.get(feature).copied().unwrap_or(0),
            );
        }
        if WINDOWED.contains(&operator) {
            require(operator, "border", trace.border_reads);
        }
        if is_requantized {
            require(operator, "pre_shift", trace.pre_shifted);
            require(operator, "tie", trace.ties);
        }
        if WEIGHTED.contains(&operator) {
            let is_at_bound = trace.largest_t == u64::from(i32::MAX.unsigned_abs());
            require(
                operator,
                "|t| = 2^31 - 1, the bound (5)",
                u64::from(is_at_bound),
            );
        }
        if CLAMPED.contains(&operator) {
            require(operator, "an output below its range", trace.clamped_low);
            require(operator, "an output above its range", trace.clamped_high);
            require(operator, "an output inside its range", trace.inside);
        }
    }
    assert!(missing.is_empty(), "never met: {missing:#?}");
}
