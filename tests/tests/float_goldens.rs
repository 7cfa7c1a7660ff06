//! The float executor against onnxruntime, on real models.
//!
//! `tests/golden/make_float_goldens.py` writes the references and says which versions made them. Both sides sum in `f32`, in different
//! orders: they may differ by 1e-4, times the largest magnitude of the tensor where that is above 1 (the autoencoder's outputs, logits).

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use fewbit::dataset::{Dataset, DatasetSpec, InputLayout, InputTransform};
use fewbit::executor::Executor;
use fewbit::graph::{Graph, TensorId};
use fewbit::import::{self, ImportOptions};
use fewbit_tests::models;
use ndarray::ArrayD;
use ndarray_npy::NpzReader;

const TOLERANCE: f32 = 1e-4;

/// The values of one array, and its shape.
type Values = (Vec<usize>, Vec<f32>);

fn check(model: &str, transform: &InputTransform) {
    let Some(path) = models::find(model) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "{model} is absent; in CI the models must be there"
        );
        return;
    };
    let graph = import::load(&path, &ImportOptions::default()).unwrap();
    let golden = golden(&path);
    let mut reader = NpzReader::new(File::open(&golden).unwrap()).unwrap();
    let names = reader.names().unwrap();
    let inputs = inputs(&graph, &golden, &mut reader, transform);
    let mut references: HashMap<String, Values> = HashMap::new();
    for name in names {
        if let Some((_, tensor)) = name.split_once(':') {
            let array: ArrayD<f32> = reader.by_name(&name).unwrap();
            let shape = array.shape().to_vec();
            let values = array.as_standard_layout().iter().copied().collect();
            references.insert(tensor.to_owned(), (shape, values));
        }
    }

    let executor = Executor::new(&graph).unwrap();
    let [output] = graph.outputs[..] else {
        panic!("{model} has {} outputs", graph.outputs.len());
    };
    // Large tensors come in chunks of a few samples.
    let mut seen: BTreeMap<TensorId, Vec<f32>> = BTreeMap::new();
    let mut hook = |id: TensorId, values: &mut [f32]| {
        if references.contains_key(&graph.tensors[id].name) {
            seen.entry(id).or_default().extend_from_slice(values);
        }
    };
    let observed = executor
        .run(&inputs.inputs, inputs.samples, &mut hook)
        .unwrap();
    assert_eq!(
        seen.len(),
        references.len(),
        "tensors of {model} missing: {references:?}"
    );
    for (id, values) in seen {
        let tensor = &graph.tensors[id];
        let (shape, expected) = &references[&tensor.name];
        // Of the output all samples, of other tensors the first one.
        let samples = if id == output { inputs.samples } else { 1 };
        let length = samples * tensor.elements();
        assert_eq!(shape.iter().product::<usize>(), length, "{}", tensor.name);
        compare(model, &tensor.name, &values[..length], expected);
    }
    let plain = executor.forward(&inputs.inputs, inputs.samples).unwrap();
    assert!(observed == plain, "{model}: a hook changes the result");
}

fn golden(model: &Path) -> PathBuf {
    let name = model.file_stem().unwrap().to_str().unwrap();
    Path::new("golden/float").join(format!("{name}.npz"))
}

/// The inputs that the references were made from: stored, or noise made again.
fn inputs(
    graph: &Graph,
    golden: &Path,
    reader: &mut NpzReader<File>,
    transform: &InputTransform,
) -> Dataset {
    let Ok(noise) = reader.by_name::<ndarray::OwnedRepr<f64>, ndarray::Ix1>("noise") else {
        let spec: DatasetSpec = format!("{}:input", golden.display()).parse().unwrap();
        return Dataset::load(&spec, &InputLayout::of(graph).unwrap(), transform).unwrap();
    };
    let elements = graph.tensors[graph.inputs[0].tensor].elements();
    let (low, high) = (noise[1] as f32, noise[2] as f32);
    Dataset::uniform_noise(noise[3] as usize, elements, low, high, noise[0] as u64)
}

fn compare(model: &str, tensor: &str, found: &[f32], expected: &[f32]) {
    let magnitude = expected.iter().fold(1.0f32, |max, x| max.max(x.abs()));
    let mut largest = 0.0f32;
    for (&found, &expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs();
        assert!(
            difference <= TOLERANCE * magnitude,
            "{model}, `{tensor}`: found {found}, expected {expected} (largest magnitude {magnitude})"
        );
        largest = largest.max(difference);
    }
    println!("{model}, `{tensor}`: largest difference {largest:e}, largest magnitude {magnitude}");
}

#[test]
fn resnet8() {
    check("resnet8/resnet8_float.onnx", &InputTransform::default());
}

#[test]
fn vww() {
    check("vww/vww_float.onnx", &InputTransform::default());
}

#[test]
fn kws() {
    check("kws/kws_float.onnx", &InputTransform::default());
}

#[test]
fn anomaly_detection() {
    check("ad/ad_float.onnx", &InputTransform::default());
    check("ad/ad_float_nobias.onnx", &InputTransform::default());
}

#[test]
fn mobilenet_v1() {
    check(
        "mobilenet_v1_025_224/mobilenet_v1_025_224_float.onnx",
        &InputTransform::default(),
    );
}

#[test]
fn efficientnet_lite0() {
    check(
        "efficientnet_lite0/efficientnet_lite0_float.onnx",
        &InputTransform::default(),
    );
}

#[test]
fn digits() {
    let transform = InputTransform {
        divisor: 256.0,
        mean: vec![0.3],
        std: vec![0.35],
        ..InputTransform::default()
    };
    check("digits/digits_imbalanced.onnx", &transform);
}
