//! Data files: `.npz` archives and `.npy` arrays.
//!
//! An accepted file has finite numbers, of the stated count. An archive is taken apart, changed and put together again, so that its checksums are right; an
//! input that is not an archive is an array.

use crate::bytes::{self, chance, number, pick};
use crate::{Outcome, Target, shape_of_message};
use fastrand::Rng;
use fewbit::dataset::{
    Dataset, DatasetError, DatasetSpec, InputLayout, InputTransform, OutputForm,
};
use std::cell::RefCell;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Cursor, Read as _, Write as _};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The target.
pub const TARGET: Target = Target {
    name: "npz",
    about: "data files, .npz and .npy",
    run,
    corpus,
    mutate,
    mend: |_| {},
    simpler,
    refusals: Vec::new,
};

/// Height, width and channels of the input that samples are read for.
const SHAPE: [usize; 3] = [4, 4, 2];

/// Outputs of the network that labels are read for.
const OUTPUTS: usize = 3;

/// Start of an array file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Arrays and samples that are asked for, after the file's name.
const CHOICES: [&str; 6] = ["", ":x", ":x,y", "[1:]", "[!0:1]", ":x,y[::2]"];

thread_local! {
    /// Folder of files that are read by their path.
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// Reads a data file in every way that the commands do.
///
/// # Panics
/// If something does not hold that should, or no file can be written.
pub fn run(bytes: &[u8]) -> Outcome {
    let name = if bytes.starts_with(&MAGIC[..1]) {
        "data.npy"
    } else {
        "data.npz"
    };
    let path = FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder"));
        folder.path().join(name)
    });
    fs::write(&path, bytes).expect("the file can be written");
    let choice = if name.ends_with("npy") {
        ["", "[1:]"][bytes.len() % 2]
    } else {
        CHOICES[bytes.len() % CHOICES.len()]
    };
    let text = format!("{}{choice}", path.display());
    let spec: DatasetSpec = text.parse().expect("a sound choice");
    let [h, w, c] = SHAPE;
    let layout = InputLayout {
        shape: vec![h, w, c],
        source_shape: vec![c, h, w],
        source_axes: vec![1, 2, 0],
    };
    let transform = InputTransform {
        mean: vec![0.5],
        std: vec![2.0],
        ..InputTransform::default()
    };
    let form = OutputForm {
        stored: vec![OUTPUTS],
        layout: None,
    };
    let count = Dataset::count(&spec, &layout);
    let inputs = Dataset::load_inputs(&spec, &layout, &transform);
    let classes = Dataset::load(&spec, &layout, &transform);
    let targets = Dataset::load_for(&spec, &layout, &transform, &form);
    for data in [&inputs, &classes, &targets].into_iter().flatten() {
        check(data, count);
    }
    if let Ok(data) = &targets {
        let labels = data.labels.iter().flatten();
        assert!(labels.max().is_none_or(|&most| (most as usize) < OUTPUTS));
    }
    let mut hasher = DefaultHasher::new();
    let mut ways = Vec::new();
    for (way, data) in [
        ("inputs", &inputs),
        ("classes", &classes),
        ("targets", &targets),
    ] {
        reason(data).hash(&mut hasher);
        if data.is_ok() {
            ways.push(way);
        }
    }
    // Without labels everything is read that can be.
    match reason(&inputs) {
        None => Outcome::accepted(ways, hasher.finish()),
        Some(reason) => {
            assert!(ways.is_empty(), "labels are read without their samples");
            Outcome::refused(reason, Vec::new())
        }
    }
}

fn check(data: &Dataset, count: Option<usize>) {
    let elements: usize = SHAPE.iter().product();
    assert!(data.samples > 0);
    assert_eq!(count, Some(data.samples));
    assert_eq!(data.inputs.len(), data.samples * elements);
    assert!(data.inputs.iter().all(|value| value.is_finite()));
    if let Some(labels) = &data.labels {
        assert_eq!(labels.len(), data.samples);
    }
    if let Some(targets) = &data.targets {
        assert_eq!(targets.len() % data.samples, 0);
        assert!(targets.iter().all(|value| value.is_finite()));
    }
    for fewer in [data.first(1), data.thinned(2), data.drawn(2, 7)] {
        assert!(fewer.samples > 0 && fewer.samples <= data.samples.min(2));
        assert_eq!(fewer.inputs.len(), fewer.samples * elements);
    }
}

/// The message without the file's name.
fn reason(data: &Result<Dataset, DatasetError>) -> Option<String> {
    let text = data.as_ref().err()?.to_string();
    let words = text.split(' ').map(|word| {
        let is_file = word.contains("data.npz") || word.contains("data.npy");
        if is_file { "FILE" } else { word }
    });
    Some(shape_of_message(&words.collect::<Vec<_>>().join(" ")))
}

/// An array file.
fn npy(descriptor: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header =
        format!("{{'descr': '{descriptor}', 'fortran_order': {order}, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:117}\n").bytes());
    bytes.extend(data);
    bytes
}

/// A file of an archive.
type Member = (String, Vec<u8>);

/// An archive; `packed` selects the files that are compressed.
fn archive(members: &[Member], packed: u32) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (index, (name, bytes)) in members.iter().enumerate() {
        let method = if packed >> (index % 32) & 1 == 1 {
            CompressionMethod::Deflated
        } else {
            CompressionMethod::Stored
        };
        let options = SimpleFileOptions::default().compression_method(method);
        // Names may be there twice, which the writer refuses.
        if writer.start_file(name.as_str(), options).is_ok() {
            writer.write_all(bytes).expect("memory takes it");
        }
    }
    writer
        .finish()
        .map_or_else(|_| Vec::new(), Cursor::into_inner)
}

/// The files of an archive that can be read; at most a megabyte of each.
fn members(bytes: &[u8]) -> Option<Vec<Member>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let file = archive.by_index(index).ok()?;
        let name = file.name().to_owned();
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes).ok()?;
        members.push((name, bytes));
    }
    Some(members)
}

/// Descriptors of all types that can be read, and their bytes.
const TYPES: [(&str, usize); 8] = [
    ("<f4", 4),
    ("<f8", 8),
    ("|u1", 1),
    ("|i1", 1),
    ("<u2", 2),
    ("<i2", 2),
    ("<i4", 4),
    ("<i8", 8),
];

/// Both layouts, every type, with classes or targets or none; archives of two kinds, and arrays.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(1);
    let mut corpus = Vec::new();
    for (index, (descriptor, width)) in TYPES.into_iter().enumerate() {
        for samples in [1, 5] {
            let shape = [
                format!("({samples}, 2, 4, 4)"),
                format!("({samples}, 4, 4, 2)"),
            ];
            let values = (0..samples * 32).map(|_| rng.u8(0..100));
            let data: Vec<u8> = values
                .flat_map(|value| match descriptor {
                    "<f4" => f32::from(value).to_le_bytes().to_vec(),
                    "<f8" => f64::from(value).to_le_bytes().to_vec(),
                    _ => u64::from(value).to_le_bytes()[..width].to_vec(),
                })
                .collect();
            let x = npy(descriptor, index % 2 == 1, &shape[index / 2 % 2], &data);
            corpus.push(x.clone());
            let mut all = vec![("x.npy".to_owned(), x)];
            corpus.push(archive(&all, 0));
            let classes: Vec<u8> = (0..samples).map(|_| rng.u8(0..3)).collect();
            let y = if index % 2 == 0 {
                npy("|u1", false, &format!("({samples},)"), &classes)
            } else {
                let targets = (0..samples * OUTPUTS).flat_map(|_| rng.f32().to_le_bytes());
                let targets: Vec<u8> = targets.collect();
                npy("<f4", false, &format!("({samples}, {OUTPUTS})"), &targets)
            };
            all.push(("y.npy".to_owned(), y));
            corpus.push(archive(&all, 1));
            let scale = npy("<f4", false, "()", &0.5_f32.to_le_bytes());
            all.push(("input_scale.npy".to_owned(), scale));
            let zero = npy("<i4", false, "()", &3_i32.to_le_bytes());
            all.push(("input_zero_point.npy".to_owned(), zero));
            corpus.push(archive(&all, 6));
        }
    }
    corpus
}

fn mutate(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let (from, other) = (pick(rng, corpus), pick(rng, corpus));
    let mut bytes = from.clone();
    match members(from) {
        Some(mut members) if !chance(rng, 15) => {
            for _ in 0..1 << rng.u32(0..3) {
                change(rng, &mut members, other);
            }
            bytes = archive(&members, rng.u32(..));
            if chance(rng, 10) {
                bytes::mutate(rng, &mut bytes, other);
            }
        }
        None if from.starts_with(MAGIC) && !chance(rng, 20) => array(rng, &mut bytes),
        _ => bytes::mutate(rng, &mut bytes, other),
    }
    bytes
}

fn change(rng: &mut Rng, members: &mut Vec<Member>, other: &[u8]) {
    let count = members.len();
    match rng.u8(0..12) {
        0 if count > 0 => drop(members.remove(rng.usize(0..count))),
        1 if count > 0 => {
            let names = [
                "x.npy",
                "x",
                "y.npy",
                "input_scale.npy",
                "input_zero_point.npy",
                "z/x.npy",
                "",
            ];
            let at = rng.usize(0..count);
            members[at].0 = (*pick(rng, &names)).to_owned();
        }
        2 => {
            if let Some(theirs) = self::members(other).filter(|theirs| !theirs.is_empty()) {
                members.push(theirs[rng.usize(0..theirs.len())].clone());
            }
        }
        3 if count > 1 => {
            let (a, b) = (rng.usize(0..count), rng.usize(0..count));
            let name = members[a].0.clone();
            members[a].0 = std::mem::replace(&mut members[b].0, name);
        }
        _ if count > 0 => {
            let at = rng.usize(0..count);
            array(rng, &mut members[at].1);
        }
        _ => {}
    }
}

/// Changes an array's header or its elements.
fn array(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let start = 10.min(bytes.len());
    let end = 128.min(bytes.len());
    match rng.u8(0..10) {
        0..4 if end > start => {
            // Another number in the header, at the same length.
            let digits = (start..end).filter(|&at| bytes[at].is_ascii_digit());
            let digits: Vec<usize> = digits.collect();
            if !digits.is_empty() {
                bytes[*pick(rng, &digits)] = b'0' + rng.u8(0..10);
            }
        }
        4 if end > start => {
            let text = String::from_utf8_lossy(&bytes[start..end]).into_owned();
            let words = [
                ("False", "True "),
                ("True", "None"),
                ("<f4", "<i4"),
                ("<f4", ">f4"),
                ("<f4", "<f2"),
                ("<f8", "<c8"),
                ("|u1", "|b1"),
                ("<i8", "|O8"),
                (", }", "  }"),
                ("(", "["),
                ("'", "\""),
            ];
            let (old, new) = *pick(rng, &words);
            bytes.splice(start..end, text.replacen(old, new, 1).into_bytes());
        }
        5 if bytes.len() > end => {
            // A number that is none, or a large one.
            let at = rng.usize(end..bytes.len());
            let corner = [f32::NAN, f32::INFINITY, 3e38, -0.0, 1e-45][rng.usize(0..5)];
            let corner = corner.to_le_bytes();
            let length = corner.len().min(bytes.len() - at);
            bytes[at..at + length].copy_from_slice(&corner[..length]);
        }
        6 => bytes.truncate(rng.usize(0..=bytes.len())),
        7 => bytes.extend([rng.u8(..); 4]),
        8 if bytes.len() > 10 => {
            let at = rng.usize(6..10);
            bytes[at] = number(rng, bytes[at].into()) as u8;
        }
        _ => bytes::mutate(rng, bytes, &[]),
    }
}

/// Archives with one file less, or with shorter ones.
fn simpler(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some(members) = members(bytes) else {
        return Vec::new();
    };
    let mut all = vec![archive(&members, 0)];
    for at in 0..members.len() {
        let mut fewer = members.clone();
        fewer.remove(at);
        all.push(archive(&fewer, 0));
        let mut shorter = members.clone();
        shorter[at].1.truncate(members[at].1.len() / 2);
        all.push(archive(&shorter, 0));
    }
    all
}
