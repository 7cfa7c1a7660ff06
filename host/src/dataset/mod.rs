//! Samples for calibration and evaluation, from `.npz` and `.npy` files.
//!
//! A [`DatasetSpec`] names a file, arrays and samples; the file's layout is recognized by its shape and converted to the graph's
//! (NHWC); an [`InputTransform`] converts stored numbers to those that the network was trained on.

mod array;
mod error;
mod labels;
mod layout;
mod npy;
mod read;
mod spec;
mod transform;

use std::io::Cursor;
use std::path::Path;

use ndarray::ArrayViewD;
use ndarray_npy::{WritableElement, WriteNpyExt};

use crate::executor::layout::Transpose;
use crate::graph::{Graph, TensorId};
use crate::output::{Outputs, WriteFileError};
use crate::random::{Random, Sequence};
use crate::range::Range;

pub use error::DatasetError;
pub use labels::OutputForm;
pub use layout::InputLayout;
pub use spec::{ArrayNames, DatasetSpec, DatasetSpecError, SampleSlice};
pub use transform::InputTransform;

use array::Array;
use labels::Labels;
use read::Reader;

/// Name of the array of inputs if none is given.
const INPUTS: &str = "x";

/// Samples in a graph's input layout, with labels if there are any.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Inputs, one sample after the other, each in the layout of the graph's input tensor (NHWC).
    pub inputs: Vec<f32>,
    /// Number of samples.
    pub samples: usize,
    /// The class of each sample.
    pub labels: Option<Vec<u32>>,
    /// Target outputs of all samples, one after the other, each in the layout of its output tensor.
    pub targets: Option<Vec<f32>>,
}

/// Labels that a reader of samples needs.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Nothing,
    /// Class numbers, for any network.
    Classes,
    /// Labels that match a network with such outputs.
    For(&'a OutputForm),
}

impl Dataset {
    /// Values of each network input, all samples one after the other.
    pub(crate) fn by_input(&self, graph: &Graph) -> Vec<(TensorId, Vec<f32>)> {
        let mut offset = 0;
        let of = |tensor: TensorId| {
            let elements = graph.tensors[tensor].elements();
            let samples = self.inputs.chunks_exact(self.elements().max(1));
            let values = samples
                .flat_map(|sample| &sample[offset..][..elements])
                .copied()
                .collect();
            offset += elements;
            (tensor, values)
        };
        (graph.inputs.iter().map(|input| input.tensor))
            .map(of)
            .collect()
    }

    /// Reads the samples that `spec` names and converts them to the layout of the graph's input.
    ///
    /// The array's axes after the first must be those of the model file (for an image in ONNX `[c, h, w]`) or the graph's own
    /// (`[h, w, c]`), up to axes of size 1; the model file's take precedence. Scalars `input_scale` and `input_zero_point` in an
    /// `.npz` undo a quantization of the stored numbers first, `(x - zero_point) * scale`; then `transform` is applied.
    ///
    /// # Errors
    /// If the file cannot be read, has other arrays, shapes or types, or the transform does not match the channels.
    pub fn load(
        spec: &DatasetSpec,
        layout: &InputLayout,
        transform: &InputTransform,
    ) -> Result<Self, DatasetError> {
        let wanted = Wanted::Classes;
        Dataset::read(Reader::open(&spec.path)?, spec, layout, transform, wanted)
    }

    /// As [`Dataset::load`], with labels for a network with such outputs: class numbers below the number of its
    /// outputs, or targets in the shape of its output, which a network with one output always has.
    ///
    /// # Errors
    /// As [`Dataset::load`]; or if a label does not match the network (the error names its sample).
    pub fn load_for(
        spec: &DatasetSpec,
        layout: &InputLayout,
        transform: &InputTransform,
        output: &OutputForm,
    ) -> Result<Self, DatasetError> {
        let wanted = Wanted::For(output);
        Dataset::read(Reader::open(&spec.path)?, spec, layout, transform, wanted)
    }

    /// As [`Dataset::load`], for callers that need no labels: labels in the file are not read.
    ///
    /// # Errors
    /// As [`Dataset::load`], except for labels.
    pub fn load_inputs(
        spec: &DatasetSpec,
        layout: &InputLayout,
        transform: &InputTransform,
    ) -> Result<Self, DatasetError> {
        let wanted = Wanted::Nothing;
        Dataset::read(Reader::open(&spec.path)?, spec, layout, transform, wanted)
    }

    /// Number of samples that `spec` names, from the file's headers alone; `None` for a file that [`Dataset::load`] refuses.
    pub fn count(spec: &DatasetSpec, layout: &InputLayout) -> Option<usize> {
        let names = spec.arrays.as_ref();
        let name = names.map_or(INPUTS, |names| names.inputs.as_str());
        let shape = Reader::open(&spec.path).ok()?.shape(name).ok()?;
        match_layout(&shape, layout)?;
        let samples = *shape.first()?;
        Some(match &spec.samples {
            Some(slice) => slice.indices(samples).len(),
            None => samples,
        })
    }

    /// At most `samples` of the samples, spread evenly over all.
    pub fn thinned(&self, samples: usize) -> Dataset {
        let kept = samples.min(self.samples);
        self.chosen((0..kept).map(|index| index * self.samples / kept.max(1)))
    }

    /// At most `samples` of the samples, drawn at random without repetition, in their order.
    pub fn drawn(&self, samples: usize, seed: u64) -> Dataset {
        let mut random = Sequence::new(seed);
        let mut places: Vec<usize> = (0..self.samples).collect();
        let kept = samples.min(self.samples);
        for place in 0..kept {
            let left = self.samples - place;
            let step = (random.unit() * left as f32) as usize;
            places.swap(place, place + step.min(left - 1));
        }
        places.truncate(kept);
        places.sort_unstable();
        self.chosen(places.into_iter())
    }

    /// The samples in an order that depends only on their bits, and not on their contents' meaning: by a hash of their bits.
    pub fn in_canonical_order(&self) -> Dataset {
        let samples = self.inputs.chunks_exact(self.elements().max(1));
        let hashes: Vec<u64> = samples.map(hash).collect();
        let mut places: Vec<usize> = (0..self.samples).collect();
        places.sort_by_key(|&place| hashes.get(place));
        self.chosen(places.into_iter())
    }

    /// The first samples, at most `samples`.
    pub fn first(&self, samples: usize) -> Dataset {
        self.chosen(0..samples.min(self.samples))
    }

    fn chosen(&self, places: impl Iterator<Item = usize> + Clone) -> Dataset {
        let elements = self.elements();
        let samples = places.clone().count();
        // No more room than they need: they live as long as a run.
        let mut inputs = Vec::with_capacity(samples * elements);
        for place in places.clone() {
            inputs.extend_from_slice(&self.inputs[place * elements..][..elements]);
        }
        Dataset {
            inputs,
            samples,
            labels: (self.labels.as_ref())
                .map(|labels| places.clone().map(|place| labels[place]).collect()),
            targets: self.targets.as_ref().map(|targets| {
                let length = targets.len() / self.samples.max(1);
                places
                    .flat_map(|place| &targets[place * length..][..length])
                    .copied()
                    .collect()
            }),
        }
    }

    /// `samples` samples of uniform noise in `range`, for networks without data.
    pub fn uniform(layout: &InputLayout, range: Range, samples: usize, seed: u64) -> Self {
        let elements: usize = layout.shape.iter().product();
        Dataset {
            inputs: Sequence::new(seed).values(samples * elements, range.min, range.max),
            samples,
            labels: None,
            targets: None,
        }
    }

    /// As [`Dataset::load`], from the bytes of an `.npz` file; `spec.path` is only used in messages.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn from_npz_bytes(
        bytes: &'static [u8],
        spec: &DatasetSpec,
        layout: &InputLayout,
        transform: &InputTransform,
    ) -> Result<Self, DatasetError> {
        Dataset::read(
            Reader::npz(&spec.path, Cursor::new(bytes))?,
            spec,
            layout,
            transform,
            Wanted::Classes,
        )
    }

    fn read(
        mut file: Reader,
        spec: &DatasetSpec,
        layout: &InputLayout,
        transform: &InputTransform,
        wanted: Wanted<'_>,
    ) -> Result<Self, DatasetError> {
        let elements: usize = layout.shape.iter().product();
        transform.check(layout)?;
        let names = file.names();
        let exists = |name: &str| names.iter().any(|existing| existing == name);
        let (input_name, label_name) = match &spec.arrays {
            Some(arrays) => (arrays.inputs.as_str(), arrays.labels.as_deref()),
            None => (INPUTS, exists("y").then_some("y")),
        };
        let array = file.array(input_name)?;
        // An .npy file has no names; messages then leave the array out.
        let input_name = if names.is_empty() { "" } else { input_name };
        let matched = match_layout(&array.shape, layout).filter(|_| elements > 0);
        let permute = matched.ok_or_else(|| DatasetError::Shape {
            path: spec.path.clone(),
            array: input_name.to_owned(),
            found: array.shape.clone(),
            expected: expected_shapes(layout),
        })?;
        let samples = array.shape[0];
        let indices = match &spec.samples {
            Some(slice) => slice.indices(samples),
            None => (0..samples).collect(),
        };
        if indices.is_empty() {
            return Err(DatasetError::Empty {
                spec: spec.to_string(),
                samples,
            });
        }
        let mut inputs = gather(&array, elements, &indices);
        drop(array);
        let finite = |inputs: &[f32], after| {
            let Some(at) = inputs.iter().position(|value| !value.is_finite()) else {
                return Ok(());
            };
            Err(DatasetError::NotFinite {
                path: spec.path.clone(),
                array: input_name.to_owned(),
                sample: indices[at / elements],
                element: at % elements,
                value: inputs[at],
                after,
            })
        };
        finite(&inputs, "")?;
        if exists("input_scale") {
            let scale = scalar(&mut file, &spec.path, "input_scale")?;
            let zero_point = match exists("input_zero_point") {
                true => scalar(&mut file, &spec.path, "input_zero_point")?,
                false => 0.0,
            };
            inputs
                .iter_mut()
                .for_each(|x| *x = (*x - zero_point) * scale);
            finite(&inputs, " after `input_scale` and `input_zero_point`")?;
        }
        if permute {
            let mut permuted = vec![0.0; inputs.len()];
            Transpose::new(&layout.source_shape, &layout.source_axes).run(&inputs, &mut permuted);
            inputs = permuted;
        }
        transform.apply(&mut inputs, layout);
        finite(&inputs, " (channels last) after the input transform")?;
        let mut data = Dataset {
            inputs,
            samples: indices.len(),
            labels: None,
            targets: None,
        };
        if let (Some(name), Wanted::Classes | Wanted::For(_)) = (label_name, wanted) {
            let array = file.array(name)?;
            let found = match wanted {
                Wanted::For(output) => labels::for_output(&array, samples, &indices, output),
                _ => labels::classes(&array, samples, &indices).map(Labels::Classes),
            };
            let problem = |problem| DatasetError::Labels {
                path: spec.path.clone(),
                array: name.to_owned(),
                problem,
            };
            match found.map_err(problem)? {
                Labels::Classes(classes) => data.labels = Some(classes),
                Labels::Targets(targets) => data.targets = Some(targets),
            }
        }
        Ok(data)
    }

    /// `samples` samples of `elements` numbers drawn evenly from `low..high`, for networks without data.
    ///
    /// Number `i` is `low + u * (high - low)` in `f32` arithmetic, where `u` is output `i` of SplitMix64 from `seed`, its upper 24 bits
    /// times 2^-24. The same seed gives the same bits everywhere.
    pub fn uniform_noise(samples: usize, elements: usize, low: f32, high: f32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let inputs = (0..samples * elements)
            .map(|_| low + random.unit() * (high - low))
            .collect();
        Dataset {
            inputs,
            samples,
            labels: None,
            targets: None,
        }
    }

    /// Number of elements of one sample, at least 1.
    pub fn elements(&self) -> usize {
        (self.inputs.len() / self.samples.max(1)).max(1)
    }

    /// The elements of one sample.
    pub fn sample(&self, index: usize) -> &[f32] {
        let elements = self.elements();
        &self.inputs[index * elements..][..elements]
    }
}

/// Whether the array, after its first axis, has the layout of the model file (`true`: to be permuted) or of the graph; `None` if neither.
fn match_layout(found: &[usize], layout: &InputLayout) -> Option<bool> {
    let (_, found) = found.split_first()?;
    let (source, own) = (layout.source_shape.as_slice(), layout.shape.as_slice());
    let squeezed =
        |shape: &[usize]| -> Vec<usize> { shape.iter().copied().filter(|&n| n != 1).collect() };
    if found == source {
        Some(true)
    } else if found == own {
        Some(false)
    } else if squeezed(found) == squeezed(source) {
        Some(true)
    } else if squeezed(found) == squeezed(own) {
        Some(false)
    } else {
        None
    }
}

fn expected_shapes(layout: &InputLayout) -> String {
    let own = &layout.shape;
    if layout.source_shape == *own {
        format!("{own:?} behind the samples")
    } else {
        format!(
            "{:?} (the model file's layout) or {own:?} (channels last) behind the samples",
            layout.source_shape
        )
    }
}

fn gather(array: &Array, elements: usize, indices: &[usize]) -> Vec<f32> {
    let mut inputs = Vec::with_capacity(indices.len() * elements);
    for &index in indices {
        array.extend_f32(index * elements..(index + 1) * elements, &mut inputs);
    }
    inputs
}

fn scalar(file: &mut Reader, path: &Path, name: &str) -> Result<f32, DatasetError> {
    let array = file.array(name)?;
    let mut values = Vec::new();
    if array.shape.iter().product::<usize>() == 1 {
        array.extend_f32(0..1, &mut values);
    }
    match values[..] {
        [value] if value.is_finite() => Ok(value),
        [value] => Err(DatasetError::Read {
            path: path.to_owned(),
            array: name.to_owned(),
            problem: format!("it is {value}, expected a finite number"),
        }),
        _ => Err(DatasetError::Shape {
            path: path.to_owned(),
            array: name.to_owned(),
            found: array.shape,
            expected: "one element in all: it is a scalar".to_owned(),
        }),
    }
}

/// Writes an array as `.npy`: first to a temporary file beside `path`, which is then renamed, so that no incomplete file remains.
///
/// # Errors
/// If the file cannot be written, or the number of `values` does not match `shape`.
pub fn write_npy<T: WritableElement>(
    path: &Path,
    shape: &[usize],
    values: &[T],
) -> Result<(), WriteFileError> {
    let mut outputs = Outputs::default();
    add_npy(&mut outputs, path, shape, values)?;
    outputs.commit()
}

/// As [`write_npy`], as one of several outputs that appear together.
///
/// # Errors
/// As [`write_npy`].
pub fn add_npy<T: WritableElement>(
    outputs: &mut Outputs,
    path: &Path,
    shape: &[usize],
    values: &[T],
) -> Result<(), WriteFileError> {
    let array = ArrayViewD::from_shape(shape, values).map_err(|error| {
        let problem = format!("{} elements for shape {shape:?}: {error}", values.len());
        WriteFileError {
            path: path.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, problem),
        }
    })?;
    outputs.add_with(path, |file| {
        array.write_npy(file).map_err(std::io::Error::other)
    })
}

#[cfg(test)]
mod tests;

/// FNV-1a over the bits of values, with 0 and -0 equal, and with the high bits mixed into the low ones.
fn hash(values: &[f32]) -> u64 {
    let hash = values
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, value| {
            let bits = u64::from((value + 0.0).to_bits());
            (hash ^ bits).wrapping_mul(0x0000_0100_0000_01B3)
        });
    hash ^ (hash >> 32)
}
