//! The blobs that mutations start from: every operator in every packing.
//!
//! Random layers and networks of the suites, as their generators make them from fixed seeds; nothing is stored.

use super::parts::Parts;
use super::{rows, splice, variants};
use fastrand::Rng;
use fewbit::import::{self, ImportOptions};
use fewbit::pipeline::{self, Calibration};
use fewbit::progress::Silent;
use fewbit::range::Range;
use fewbit::recipe::Equalize;
use fewbit::recipe::RoundingMethod;
use fewbit::recipe::{Granularity, Recipe, Target, WeightBits};
use fewbit_runtime::KernelSet;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::program::{Constant, Lut, Op, WeightType};
use fewbit_runtime::load::kernels_of;
use fewbit_tests::joined;
use fewbit_tests::layer::Layer;
use fewbit_tests::random_layer::random_layer;
use fewbit_tests::random_network::Pair;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Layers of each operator.
const LAYERS: usize = 8;

/// Seeds that are looked through for them.
const SEEDS: u64 = 3000;

/// Larger layers take too long.
const MOST_BYTES: usize = 6000;
const MOST_WORK: u64 = 40_000;

/// The value of an enum of the format that is encoded as `variant` and zeros; `None` if there is none.
fn decoded<T: serde::de::DeserializeOwned>(variant: u8) -> Option<T> {
    let mut bytes = [0; 64];
    bytes[0] = variant;
    let (value, _) = postcard::take_from_bytes(&bytes).ok()?;
    Some(value)
}

/// The names of all operators that the format has, found by decoding one after the other.
#[must_use]
pub fn kinds() -> Vec<&'static str> {
    (0..=255)
        .map_while(|variant| decoded::<Op>(variant).map(|op| op.kind()))
        .collect()
}

/// All types of weights that the format has.
#[must_use]
pub fn weight_types() -> Vec<WeightType> {
    (0..=255).map_while(decoded).collect()
}

/// Layers of every operator, as they were drawn.
fn layers() -> BTreeMap<&'static str, Vec<Layer>> {
    let mut layers: BTreeMap<&'static str, Vec<Layer>> = BTreeMap::new();
    let mut parts_of_kernels = KernelSet::NONE;
    for seed in 0..SEEDS {
        let layer = random_layer(seed).layer;
        let Some(op) = layer.program.ops.last() else {
            continue;
        };
        let mine = layers.entry(op.kind()).or_default();
        let bytes = layer.weights.len() + 4 * layer.params.len();
        let activations: u64 = layer.program.tensors.iter().map(|t| t.bytes()).sum();
        let small = bytes <= MOST_BYTES && activations <= MOST_BYTES as u64;
        if !small {
            continue;
        }
        let needed = Family::ALL.map(|packing| needed(&layer.packed_for(packing)));
        let needed = needed
            .into_iter()
            .fold(parts_of_kernels, |all, one| all | one);
        let joins = joined_in_place(&layer).is_some()
            && !mine.iter().any(|layer| joined_in_place(layer).is_some());
        // Of those that are enough already, only what takes another way through a kernel, or a first one in place.
        let wanted = mine.len() < LAYERS || needed != parts_of_kernels || joins;
        if wanted && work(&layer) <= MOST_WORK {
            parts_of_kernels = needed;
            mine.push(layer);
        }
    }
    layers
}

/// The parts of kernels that a layer needs.
fn needed(layer: &Layer) -> KernelSet {
    let blob = layer.blob().map(|blob| kernels_of(&blob));
    blob.map_or(KernelSet::NONE, |needed| needed.unwrap_or_default())
}

/// A concat along the outermost axis whose inputs lie where they belong; `None` for any other.
fn joined_in_place(layer: &Layer) -> Option<Layer> {
    let mut layer = layer.clone();
    let program = &mut layer.program;
    let Some(Op::Concat(concat)) = program.ops.last() else {
        return None;
    };
    let inputs: BTreeSet<u16> = concat.inputs.iter().copied().collect();
    if concat.axis != 0 || inputs.len() != concat.inputs.len() {
        return None;
    }
    let mut place = program.tensors.get(usize::from(concat.output))?.offset;
    for &input in &concat.inputs {
        let tensor = program.tensors.get_mut(usize::from(input))?;
        tensor.offset = place;
        place += u32::try_from(tensor.bytes()).ok()?;
    }
    Some(layer)
}

/// Operations of a layer.
fn work(layer: &Layer) -> u64 {
    let Ok(blob) = layer.blob() else {
        return u64::MAX;
    };
    super::Loaded::<'_>::from_bytes(&blob).map_or(u64::MAX, |model| model.work())
}

/// All blobs.
#[must_use]
pub fn corpus() -> Vec<Vec<u8>> {
    let layers = layers();
    let mut corpus = Vec::new();
    let mut add = |layer: &Layer| corpus.push(Parts::of_layer(layer).encode());
    for of_kind in layers.values() {
        for (index, layer) in of_kind.iter().enumerate() {
            add(layer);
            for packing in Family::ALL {
                add(&layer.packed_for(packing));
                if let Some(layer) = layer.in_place(packing, index % 3) {
                    add(&layer);
                }
                if let Some(layer) = joined_in_place(layer) {
                    add(&layer.packed_for(packing));
                }
            }
        }
    }
    let all: Vec<&Layer> = (0..LAYERS)
        .flat_map(|index| layers.values().filter_map(move |layers| layers.get(index)))
        .collect();
    for packing in Family::ALL {
        for group in all.chunks(4) {
            let group: Vec<Layer> = group
                .iter()
                .map(|layer| layer.packed_for(packing))
                .collect();
            add(&joined::join(&group).0);
        }
    }
    // With their inputs and outputs as those of the whole.
    let mut rng = Rng::with_seed(1);
    for packing in Family::ALL {
        for pair in all.chunks(2) {
            let [first, second] = pair else { continue };
            let parts = |layer: &Layer| Parts::of_layer(&layer.packed_for(packing));
            let mut both = parts(first);
            splice::append(&mut rng, &mut both, &parts(second));
            corpus.push(both.encode());
        }
    }
    corpus.push(crowd().encode());
    corpus.extend(networks());
    corpus
}

/// A program of many operators and tensors, all of which are needed until the end.
fn crowd() -> Parts {
    const TENSORS: u16 = 700;
    let mut layer = Layer::default();
    let table = layer.bytes(&[0; 256]);
    for index in 0..TENSORS {
        let output = layer.tensor([1, 1, 1], 0);
        layer.op(Op::Constant(Constant {
            output,
            data: table,
        }));
        layer.program.tensors[usize::from(index)].offset = index.into();
    }
    for index in 0..TENSORS {
        let output = layer.tensor([1, 1, 1], 0);
        layer.op(Op::Lut(Lut {
            input: index,
            output,
            table,
        }));
        layer.program.tensors[usize::from(output)].offset = output.into();
    }
    let mut parts = Parts::of_layer(&layer);
    parts.fit_arena();
    parts
}

/// Whole networks: random ones, the test cases that need no data, and a file of the first version.
fn networks() -> Vec<Vec<u8>> {
    const UNIT: Range = Range {
        min: -1.0,
        max: 1.0,
    };
    let tests = crate::root().join("tests");
    let mut graphs: Vec<_> = (0..2).map(|seed| Pair::new(seed).live).collect();
    let mut cases: Vec<_> = fs::read_dir(tests.join("cases"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("model.onnx")))
        .collect();
    cases.sort();
    let options = ImportOptions::default();
    graphs.extend(
        cases
            .iter()
            .filter_map(|path| import::load(path, &options).ok()),
    );
    let mut blobs = Vec::new();
    for (index, graph) in graphs.iter().enumerate() {
        let packing = Family::ALL[index % 3];
        let mut recipe = Recipe::default();
        recipe.input.range = Some([UNIT.min, UNIT.max]);
        recipe.weights.scale_search = false;
        recipe.weights.granularity = Granularity::PerChannel;
        recipe.weights.bits = [WeightBits::Int8, WeightBits::Int4][index % 2];
        recipe.passes.equalize = Equalize::Off;
        recipe.rounding.method = RoundingMethod::Nearest;
        recipe.target = Target::from(packing);
        let ranges = vec![UNIT; graph.inputs.len()];
        let calibration = Calibration::Statistics(&ranges);
        if let Ok(quantized) = pipeline::quantize(graph, calibration, &recipe, &mut Silent) {
            blobs.push(quantized.blob.as_bytes().to_vec());
        }
    }
    if let Ok(blob) = fs::read(tests.join("blobs/v1_digits.fewbit")) {
        let packed = Parts::decode(&blob).and_then(|parts| {
            let rows = rows::in_rows(&parts)?;
            variants::packed_for(&rows, Family::Dsp, 1 << 20)
        });
        blobs.extend(packed.map(|parts| parts.encode()));
        blobs.push(blob);
    }
    blobs
}
