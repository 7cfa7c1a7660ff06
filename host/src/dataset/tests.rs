//! Loading from files as NumPy writes them.

use std::fs::File;
use std::path::PathBuf;

use ndarray::{Array, ArrayD, ShapeBuilder, arr0};
use ndarray_npy::{NpzWriter, ReadNpyExt};

use crate::graph::{Graph, OutputLayout};

use super::*;
use crate::testing::graph_of;

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let name = format!("fewbit-dataset-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn spec(&self, rest: &str) -> DatasetSpec {
        format!("{}/{rest}", self.0.display()).parse().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A leftover in the directory of temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A graph with an input of shape `own` that the model file lays out as `source`.
fn graph(source: &[usize], axes: &[usize]) -> Graph {
    let own: Vec<_> = axes.iter().map(|&axis| source[axis]).collect();
    let mut graph = graph_of(&[&own]);
    graph.inputs[0].source_shape = source.to_vec();
    graph.inputs[0].source_axes = axes.to_vec();
    graph
}

/// 0, 1, 2, .. in the given shape.
fn count<T: From<u8>>(shape: &[usize]) -> ArrayD<T> {
    let len: usize = shape.iter().product();
    let values = (0..len).map(|i| T::from(i as u8)).collect();
    Array::from_shape_vec(shape, values).unwrap()
}

fn load(spec: &DatasetSpec, graph: &Graph) -> Result<Dataset, DatasetError> {
    Dataset::load(spec, &InputLayout::of(graph)?, &InputTransform::default())
}

fn message(spec: &DatasetSpec, graph: &Graph) -> String {
    load(spec, graph).unwrap_err().to_string()
}

#[test]
fn both_layouts_are_recognized() {
    let directory = Directory::new("layout");
    let image = graph(&[3, 2, 4], &[1, 2, 0]);
    for (name, shape) in [("nchw", [2, 3, 2, 4]), ("nhwc", [2, 2, 4, 3])] {
        let mut npz = NpzWriter::new_compressed(File::create(directory.path(name)).unwrap());
        npz.add_array("x", &count::<u8>(&shape)).unwrap();
        npz.finish().unwrap();
        std::fs::rename(directory.path(name), directory.path(&format!("{name}.npz"))).unwrap();
    }
    let own = load(&directory.spec("nhwc.npz"), &image).unwrap();
    assert_eq!(own.inputs, (0..48).map(|i| i as f32).collect::<Vec<_>>());
    assert_eq!((own.samples, own.labels), (2, None));

    let source = load(&directory.spec("nchw.npz[1:]"), &image).unwrap();
    assert_eq!(source.samples, 1);
    for y in 0..2 {
        for x in 0..4 {
            for c in 0..3 {
                let expected = 24 + (c * 2 + y) * 4 + x;
                assert_eq!(source.sample(0)[(y * 4 + x) * 3 + c], expected as f32);
            }
        }
    }

    // A cube fits both; the model file's layout wins.
    let cube = graph(&[2, 2, 2], &[1, 2, 0]);
    write_npy(
        &directory.path("cube.npy"),
        &[1, 2, 2, 2],
        &[0.0f32, 1., 2., 3., 4., 5., 6., 7.],
    )
    .unwrap();
    let cube = load(&directory.spec("cube.npy"), &cube).unwrap();
    assert_eq!(cube.inputs, [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
}

#[test]
fn axes_of_size_one_may_come_and_go() {
    let directory = Directory::new("squeeze");
    let speech = graph(&[1, 3, 5], &[1, 2, 0]);
    let values: Vec<f32> = (0..30).map(|i| i as f32).collect();
    for shape in [
        &[2, 3, 5][..],
        &[2, 3, 5, 1],
        &[2, 1, 3, 5],
        &[2, 1, 3, 1, 5],
    ] {
        write_npy(&directory.path("x.npy"), shape, &values).unwrap();
        let dataset = load(&directory.spec("x.npy"), &speech).unwrap();
        assert_eq!(dataset.inputs, values, "{shape:?}");
    }
    write_npy(&directory.path("x.npy"), &[2, 5, 3], &values).unwrap();
    let message = message(&directory.spec("x.npy"), &speech);
    assert!(message.contains("[2, 5, 3]"), "{message}");
    assert!(
        message.contains("[1, 3, 5] (the model file's layout) or [3, 5, 1]"),
        "{message}"
    );
    assert!(message.contains("x.npy"), "{message}");
}

#[test]
fn every_element_type_is_read() {
    let directory = Directory::new("types");
    let vector = graph(&[3], &[0]);
    let expected = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let mut npz = NpzWriter::new(File::create(directory.path("t.npz")).unwrap());
    let shape = [2, 3];
    npz.add_array("f32", &count::<f32>(&shape)).unwrap();
    npz.add_array("f64", &count::<f64>(&shape)).unwrap();
    npz.add_array("u8", &count::<u8>(&shape)).unwrap();
    npz.add_array("i8", &count::<u8>(&shape).mapv(|x| x as i8))
        .unwrap();
    npz.add_array("u16", &count::<u16>(&shape)).unwrap();
    npz.add_array("i16", &count::<i16>(&shape)).unwrap();
    npz.add_array("i32", &count::<i32>(&shape)).unwrap();
    npz.add_array("i64", &count::<i64>(&shape)).unwrap();
    npz.add_array("u64", &count::<u64>(&shape)).unwrap();
    // Written column by column, as NumPy stores a transposed array.
    let mut fortran = ArrayD::<f32>::zeros(ndarray::IxDyn(&shape).f());
    fortran.assign(&count::<f32>(&shape));
    assert!(!fortran.is_standard_layout());
    npz.add_array("fortran", &fortran).unwrap();
    npz.finish().unwrap();
    for name in [
        "f32", "f64", "u8", "i8", "u16", "i16", "i32", "i64", "fortran",
    ] {
        let dataset = load(&directory.spec(&format!("t.npz:{name}")), &vector).unwrap();
        assert_eq!(dataset.inputs, expected, "{name}");
    }
    let message = message(&directory.spec("t.npz:u64"), &vector);
    assert!(
        message.contains("`u64`") && message.contains("<u8"),
        "{message}"
    );
    assert!(message.contains("u16, i16"), "{message}");
}

#[test]
fn stored_quantization_is_undone_before_the_transform() {
    let directory = Directory::new("quantized");
    let vector = graph(&[2], &[0]);
    let mut npz = NpzWriter::new(File::create(directory.path("q.npz")).unwrap());
    npz.add_array(
        "x",
        &Array::from_shape_vec((2, 2), vec![-128i8, 83, 84, 127]).unwrap(),
    )
    .unwrap();
    npz.add_array("input_scale", &arr0(0.584_702_9_f32))
        .unwrap();
    npz.add_array("input_zero_point", &arr0(83i32)).unwrap();
    npz.finish().unwrap();
    let transform = InputTransform {
        divisor: 4.0,
        ..InputTransform::default()
    };
    let dataset = Dataset::load(
        &directory.spec("q.npz"),
        &InputLayout::of(&vector).unwrap(),
        &transform,
    )
    .unwrap();
    let expected = [-211.0f32, 0.0, 1.0, 44.0].map(|x| x * 0.584_702_9 / 4.0);
    assert_eq!(dataset.inputs, expected);
}

#[test]
fn labels_go_with_their_samples() {
    let directory = Directory::new("labels");
    let scalar = graph(&[1], &[0]);
    let mut npz = NpzWriter::new(File::create(directory.path("l.npz")).unwrap());
    npz.add_array("x", &count::<u8>(&[10, 1])).unwrap();
    npz.add_array("y", &count::<i64>(&[10])).unwrap();
    npz.add_array("column", &count::<f32>(&[10, 1])).unwrap();
    npz.add_array("short", &count::<u8>(&[9])).unwrap();
    npz.add_array("negative", &count::<i16>(&[10]).mapv(|y| y - 1))
        .unwrap();
    npz.add_array("fraction", &count::<f32>(&[10]).mapv(|y| y / 2.0))
        .unwrap();
    npz.finish().unwrap();
    let labels = |text: &str| {
        load(&directory.spec(text), &scalar)
            .unwrap()
            .labels
            .unwrap()
    };
    assert_eq!(labels("l.npz[::4]"), [0, 4, 8]);
    assert_eq!(labels("l.npz[!::4]"), [1, 2, 3, 5, 6, 7, 9]);
    assert_eq!(labels("l.npz:x,column[-2:]"), [8, 9]);
    assert_eq!(
        load(&directory.spec("l.npz:x"), &scalar).unwrap().labels,
        None
    );
    let dataset = load(&directory.spec("l.npz[!::4]"), &scalar).unwrap();
    assert_eq!(dataset.inputs, [1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 9.0]);

    let message = |text: &str| message(&directory.spec(text), &scalar);
    let short = message("l.npz:x,short");
    assert!(
        short.contains("`short`") && short.contains("expected [10]"),
        "{short}"
    );
    let negative = message("l.npz:x,negative");
    assert!(negative.contains("sample 0 has the label -"), "{negative}");
    assert!(message("l.npz:x,fraction").contains("sample 1 has the label "));
    // Only the labels of samples in use count.
    assert_eq!(labels("l.npz:x,fraction[::2]"), [0, 1, 2, 3, 4]);
    let empty = message("l.npz[5:2]");
    assert!(empty.contains("none of the 10 samples"), "{empty}");
}

#[test]
fn errors_name_file_and_array() {
    let directory = Directory::new("errors");
    let scalar = graph(&[1], &[0]);
    let mut npz = NpzWriter::new(File::create(directory.path("d.npz")).unwrap());
    npz.add_array("x_test", &count::<u8>(&[4, 1])).unwrap();
    npz.add_array("y_test", &count::<u8>(&[4])).unwrap();
    npz.finish().unwrap();
    let other_names = message(&directory.spec("d.npz"), &scalar);
    assert!(
        other_names.contains("no array `x`, only: x_test, y_test"),
        "{other_names}"
    );
    assert!(other_names.contains("d.npz:X,Y"), "{other_names}");
    let missing_labels = message(&directory.spec("d.npz:x_test,y"), &scalar);
    assert!(missing_labels.contains("no array `y`"), "{missing_labels}");
    let missing = message(&directory.spec("nothing.npz"), &scalar);
    assert!(missing.contains("nothing.npz"), "{missing}");
    assert!(message(&directory.spec("nothing.npy"), &scalar).contains("nothing.npy"));

    for name in ["broken.npz", "broken.npy"] {
        std::fs::write(directory.path(name), b"PK\x03\x04 no archive").unwrap();
        let broken = message(&directory.spec(name), &scalar);
        assert!(
            broken.contains("cannot read") && broken.contains(name),
            "{broken}"
        );
    }

    let transform = InputTransform {
        mean: vec![0.0, 1.0],
        ..InputTransform::default()
    };
    let error = Dataset::load(
        &directory.spec("d.npz:x_test"),
        &InputLayout::of(&scalar).unwrap(),
        &transform,
    )
    .unwrap_err();
    assert!(error.to_string().contains("mean has 2"), "{error}");

    let mut two = graph(&[1], &[0]);
    two.inputs.push(two.inputs[0].clone());
    assert!(message(&directory.spec("d.npz:x_test"), &two).contains("2 inputs"));
}

#[test]
fn written_arrays_are_read_back() {
    let directory = Directory::new("write");
    let path = directory.path("out.npy");
    write_npy(&path, &[2, 2], &[-128i8, -1, 0, 127]).unwrap();
    let array = ArrayD::<i8>::read_npy(File::open(&path).unwrap()).unwrap();
    assert_eq!(array.shape(), [2, 2]);
    assert_eq!(array.into_raw_vec_and_offset().0, [-128, -1, 0, 127]);

    let error = write_npy(&path, &[3, 2], &[1.0f32; 5]).unwrap_err();
    assert!(error.to_string().contains("5 elements"), "{error}");
    // A file where the folder should be.
    assert!(write_npy(&path.join("out.npy"), &[1], &[1.0f32]).is_err());
}

#[test]
fn noise_is_reproducible_even_and_in_range() {
    let noise = Dataset::uniform_noise(100, 100, -1.0, 3.0, 42);
    assert_eq!(noise, Dataset::uniform_noise(100, 100, -1.0, 3.0, 42));
    assert_ne!(noise, Dataset::uniform_noise(100, 100, -1.0, 3.0, 43));
    assert!(noise.inputs.iter().all(|x| (-1.0..3.0).contains(x)));
    let mean = noise.inputs.iter().sum::<f32>() / 10_000.0;
    assert!((mean - 1.0).abs() < 0.05, "{mean}");
    // First outputs of SplitMix64 for seed 1234567, as its reference implementation prints them.
    let first = Dataset::uniform_noise(1, 2, 0.0, 1.0, 1_234_567).inputs;
    let expected = [6_457_827_717_110_365_317u64, 3_203_168_211_198_807_973]
        .map(|z| (z >> 40) as f32 / 16_777_216.0);
    assert_eq!(first, expected);
}

#[test]
fn drawn_samples_come_once_and_with_their_labels() {
    let data = Dataset {
        inputs: (0..40).map(|value| value as f32).collect(),
        samples: 20,
        labels: Some((0..20).collect()),
        targets: None,
    };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let drawn = data.drawn(7, seed);
        let labels = drawn.labels.clone().expect("labels");
        assert_eq!((drawn.samples, labels.len()), (7, 7));
        assert!(labels.is_sorted_by(|a, b| a < b), "{labels:?}");
        for (sample, label) in drawn.inputs.chunks_exact(2).zip(&labels) {
            assert_eq!(sample[0], (2 * label) as f32);
        }
        seen.extend(labels);
    }
    assert_eq!(seen.len(), 20, "every sample is drawn by some seed");
    assert_eq!(data.drawn(50, 1).inputs, data.inputs);
}

#[test]
fn the_canonical_order_does_not_depend_on_the_order() {
    let data = Dataset {
        inputs: (0..60).map(|value| value as f32).collect(),
        samples: 20,
        labels: Some((0..20).collect()),
        targets: None,
    };
    let shuffled = data.drawn(20, 3).in_canonical_order();
    let mut reversed = data.clone();
    reversed.inputs = (data.inputs.chunks(3).rev().flatten().copied()).collect();
    reversed.labels = Some((0..20).rev().collect());
    let ordered = data.in_canonical_order();
    assert_eq!(reversed.in_canonical_order().inputs, ordered.inputs);
    assert_eq!(shuffled.inputs, ordered.inputs);
    assert_ne!(ordered.inputs, data.inputs);
    // They are held for as long as a network is quantized.
    assert_eq!(ordered.inputs.capacity(), ordered.inputs.len());
    for (sample, label) in ordered
        .inputs
        .chunks(3)
        .zip(ordered.labels.expect("labels"))
    {
        assert_eq!(sample[0], 3.0 * label as f32);
    }
}

/// An archive with one array, in which the directory's 32-bit number at `field` of its entry is `value`.
fn patched_archive(path: &Path, field: usize, value: u32) {
    let mut npz = NpzWriter::new_compressed(File::create(path).unwrap());
    npz.add_array("x", &count::<u8>(&[4, 1])).unwrap();
    npz.finish().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let entry = bytes.windows(4).position(|at| at == b"PK\x01\x02");
    bytes[entry.unwrap() + field..][..4].copy_from_slice(&value.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn claims_of_archives_are_held_to_their_size() {
    const CHECKSUM: usize = 16;
    const INFLATED: usize = 24;
    let directory = Directory::new("claims");
    let scalar = graph(&[1], &[0]);
    for (field, value, word) in [
        (INFLATED, 0xffff_fff0, "savez"),
        (INFLATED, 1_000, "follow the header"),
        (INFLATED, 131, "follow the header"),
        (INFLATED, 0, "x"),
        (CHECKSUM, 0, "hecksum"),
    ] {
        patched_archive(&directory.path("a.npz"), field, value);
        let message = message(&directory.spec("a.npz"), &scalar);
        assert!(
            message.contains("a.npz") && message.contains("`x`") && message.contains(word),
            "{message}"
        );
    }
    // A folder is not a file.
    std::fs::create_dir(directory.path("folder.npy")).unwrap();
    let folder = message(&directory.spec("folder.npy"), &scalar);
    assert!(folder.contains("not a regular file"), "{folder}");
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let directory = Directory::new("finite");
    let vector = graph(&[3], &[0]);
    let mut npz = NpzWriter::new(File::create(directory.path("f.npz")).unwrap());
    let with = |at: usize, value: f32| {
        let mut array = count::<f32>(&[4, 3]);
        array.as_slice_mut().unwrap()[at] = value;
        array
    };
    npz.add_array("nan", &with(7, f32::NAN)).unwrap();
    npz.add_array("inf", &with(11, f32::NEG_INFINITY)).unwrap();
    npz.add_array("large", &with(3, 1e30)).unwrap();
    npz.add_array("double", &with(0, 1.0).mapv(|x| f64::from(x) * 1e300))
        .unwrap();
    npz.finish().unwrap();
    let error = |text: &str, transform: &InputTransform| {
        let layout = InputLayout::of(&vector).unwrap();
        let loaded = Dataset::load(&directory.spec(text), &layout, transform);
        loaded.unwrap_err().to_string()
    };
    let none = InputTransform::default();
    let small = InputTransform {
        divisor: 1e-20,
        ..InputTransform::default()
    };
    for (text, transform, start) in [
        ("f.npz:nan", &none, "sample 2 of array `nan` of "),
        ("f.npz:nan", &none, "element 1 is NaN; "),
        ("f.npz:nan[1:]", &none, "sample 2 of"),
        ("f.npz:nan", &none, "[!2:3]"),
        ("f.npz:inf", &none, "element 2 is -inf; "),
        ("f.npz:double", &none, "sample 0 of array `double` of "),
        (
            "f.npz:large",
            &small,
            "element 0 is inf (channels last) after the input transform",
        ),
    ] {
        let error = error(text, transform);
        assert!(error.contains(start) && error.contains("f.npz"), "{error}");
    }
    let rest = load(&directory.spec("f.npz:nan[!2:3]"), &vector).unwrap();
    assert_eq!(rest.samples, 3);
    write_npy(&directory.path("f.npy"), &[1, 3], &[0.0, 0.0, f32::NAN]).unwrap();
    let npy = message(&directory.spec("f.npy"), &vector);
    assert!(
        npy.contains("sample 0 of ") && npy.contains("f.npy: element 2"),
        "{npy}"
    );

    let mut npz = NpzWriter::new(File::create(directory.path("s.npz")).unwrap());
    npz.add_array("x", &count::<u8>(&[1, 3])).unwrap();
    npz.add_array("input_scale", &arr0(f32::NAN)).unwrap();
    npz.finish().unwrap();
    let scale = message(&directory.spec("s.npz"), &vector);
    assert!(
        scale.contains("`input_scale`") && scale.contains("NaN"),
        "{scale}"
    );
}

#[test]
fn labels_that_are_not_needed_are_not_read() {
    let directory = Directory::new("unread");
    let scalar = graph(&[1], &[0]);
    let mut npz = NpzWriter::new(File::create(directory.path("u.npz")).unwrap());
    npz.add_array("x", &count::<u8>(&[4, 1])).unwrap();
    npz.add_array("y", &count::<f32>(&[4]).mapv(|y| y - 0.5))
        .unwrap();
    npz.finish().unwrap();
    let layout = InputLayout::of(&scalar).unwrap();
    let transform = InputTransform::default();
    for text in ["u.npz", "u.npz:x,y", "u.npz:x,missing"] {
        let spec = directory.spec(text);
        assert!(Dataset::load(&spec, &layout, &transform).is_err());
        let inputs = Dataset::load_inputs(&spec, &layout, &transform).unwrap();
        assert_eq!((inputs.samples, inputs.labels), (4, None));
    }
}

#[test]
fn labels_suit_what_the_network_puts_out() {
    let directory = Directory::new("targets");
    let mut npz = NpzWriter::new(File::create(directory.path("t.npz")).unwrap());
    npz.add_array("x", &count::<f32>(&[4, 1])).unwrap();
    let classes = Array::from_vec(vec![0i64, 2, 99, 1]);
    npz.add_array("classes", &classes).unwrap();
    let reals = Array::from_vec(vec![0.5f32, 1.0, -2.0, 3.5]);
    npz.add_array("reals", &reals).unwrap();
    npz.add_array("images", &count::<f32>(&[4, 3, 1, 2]))
        .unwrap();
    npz.add_array("moved", &count::<f32>(&[3, 4])).unwrap();
    let infinite = Array::from_vec(vec![0.0f32, f32::INFINITY, 0.0, 0.0]);
    npz.add_array("infinite", &infinite).unwrap();
    npz.finish().unwrap();
    let scalar = graph(&[1], &[0]);
    let load = |array: &str, output: &OutputForm| {
        let spec = directory.spec(&format!("t.npz:x,{array}"));
        let layout = InputLayout::of(&scalar).unwrap();
        Dataset::load_for(&spec, &layout, &InputTransform::default(), output)
    };
    let form = |stored: &[usize], shape: &[usize], order: &[usize], batch| OutputForm {
        stored: stored.to_vec(),
        layout: Some(OutputLayout {
            shape: shape.to_vec(),
            order: order.to_vec(),
            batch: Some(batch),
        }),
    };
    let vector = |length| form(&[length], &[length], &[0], 0);
    let message = |array: &str, output: &OutputForm| load(array, output).unwrap_err().to_string();

    // One output: numbers, of whatever type.
    let one = load("classes", &vector(1)).unwrap();
    assert_eq!(one.labels, None);
    assert_eq!(one.targets.as_deref(), Some(&[0.0, 2.0, 99.0, 1.0][..]));
    assert_eq!(one.first(2).targets.as_deref(), Some(&[0.0, 2.0][..]));
    let reals = load("reals", &vector(1)).unwrap();
    assert_eq!(reals.targets.as_deref(), Some(&[0.5, 1.0, -2.0, 3.5][..]));
    let infinite = message("infinite", &vector(1));
    assert!(
        infinite.contains("sample 1 has the target inf"),
        "{infinite}"
    );

    // Several: classes below their number.
    assert_eq!(
        load("classes", &vector(100)).unwrap().labels.unwrap()[2],
        99
    );
    let outside = message("classes", &vector(5));
    for part in ["sample 2", "99", "5 classes", "0 to 4", "`classes`"] {
        assert!(outside.contains(part), "{part}: {outside}");
    }
    let real = message("reals", &vector(5));
    assert!(
        real.contains("sample 0 has the label 0.5") && real.contains("5 targets"),
        "{real}"
    );

    // Targets of the output's shape, in the file's order, come in the tensor's.
    let image = form(&[1, 2, 3], &[3, 1, 2], &[2, 1], 0);
    let targets = load("images", &image).unwrap().targets.unwrap();
    assert_eq!(targets[..6], [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    let moved = form(&[3], &[3], &[0], 1);
    let targets = load("moved", &moved).unwrap().targets.unwrap();
    assert_eq!(targets[..3], [0.0, 4.0, 8.0]);
    let shape = message("images", &vector(6));
    assert!(
        shape.contains("[4, 3, 1, 2]") && shape.contains("[4, 6]"),
        "{shape}"
    );

    // A blob does not know its model's order.
    let blob = OutputForm {
        layout: None,
        ..image
    };
    assert!(message("images", &blob).contains("--reference"));
}
