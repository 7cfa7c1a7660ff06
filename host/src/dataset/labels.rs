//! Labels for the measurement of outputs: classes or target values.

use super::array::Array;
use crate::graph::{Graph, OutputLayout};

/// Form of a network's output, which labels must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputForm {
    /// Shape of the tensor, channels last, without the batch dimension.
    pub stored: Vec<usize>,
    /// Layout in the model file; `None` for the first blobs, which do not store it.
    pub layout: Option<OutputLayout>,
}

impl OutputForm {
    /// The form of a network's output.
    pub fn of(graph: &Graph) -> Self {
        let tensor = graph.outputs.first();
        OutputForm {
            stored: tensor.map_or_else(Vec::new, |&tensor| graph.tensors[tensor].shape.clone()),
            layout: Some(graph.output_layout(0)),
        }
    }

    /// Outputs, sample after sample, in the model file's order if it is known.
    pub fn in_file_order<T: Copy>(&self, values: &[T]) -> Vec<T> {
        match &self.layout {
            Some(layout) => layout.samples_in_file_order(&self.stored, values),
            None => values.to_vec(),
        }
    }

    /// Number of elements of one output.
    pub fn elements(&self) -> usize {
        self.stored.iter().product()
    }
}

/// Labels of samples.
pub(super) enum Labels {
    /// One class number per sample.
    Classes(Vec<u32>),
    /// Target values: one per element of the output tensor, in its order.
    Targets(Vec<f32>),
}

/// Labels of the selected samples for a network with such outputs: class numbers if it has several outputs and there is one integer per sample, else targets.
pub(super) fn for_output(
    array: &Array,
    samples: usize,
    indices: &[usize],
    output: &OutputForm,
) -> Result<Labels, String> {
    let elements = output.elements();
    if elements == 1 || !is_one_a_sample(&array.shape, samples) {
        return targets(array, samples, indices, output).map(Labels::Targets);
    }
    let in_range = |&index: &usize| match array.class(index) {
        Some(class) if (class as usize) < elements => Ok(class),
        Some(class) => Err(format!(
            "sample {index} has the class number {class}, but the network has {elements} classes, 0 to {}; \
             choose the right array with FILE:X,Y, or leave labels out with FILE:X",
            elements - 1
        )),
        None => Err(format!(
            "sample {index} has the label {}, which is no class number; the network has {elements} outputs: \
             give one integer from 0 to {} a sample, or {elements} targets a sample, or leave labels out with FILE:X",
            array.real(index),
            elements - 1
        )),
    };
    indices
        .iter()
        .map(in_range)
        .collect::<Result<_, _>>()
        .map(Labels::Classes)
}

/// Class numbers of the selected samples for any network, from an array `[samples]` (or with more axes of size 1).
pub(super) fn classes(
    array: &Array,
    samples: usize,
    indices: &[usize],
) -> Result<Vec<u32>, String> {
    if !is_one_a_sample(&array.shape, samples) {
        return Err(format!(
            "shape {:?}, expected [{samples}], one label a sample",
            array.shape
        ));
    }
    let class = |&index: &usize| {
        (array.class(index)).ok_or_else(|| {
            format!(
                "sample {index} has the label {}, which is not a class number, expected an integer from 0",
                array.real(index)
            )
        })
    };
    indices.iter().map(class).collect()
}

fn is_one_a_sample(shape: &[usize], samples: usize) -> bool {
    shape.first() == Some(&samples) && shape[1..].iter().all(|&size| size == 1)
}

/// Targets of the selected samples, in the order of the output tensor.
fn targets(
    array: &Array,
    samples: usize,
    indices: &[usize],
    output: &OutputForm,
) -> Result<Vec<f32>, String> {
    let elements = output.elements();
    let squeezed =
        |shape: &[usize]| -> Vec<usize> { shape.iter().copied().filter(|&n| n != 1).collect() };
    let stored = squeezed(&output.stored);
    if output.layout.is_none() && stored.len() > 1 {
        return Err(format!(
            "shape {:?}: outputs have several axes, and this blob does not know in which order its model has them; \
             name the model with --reference, quantize it again, or leave labels out with FILE:X",
            array.shape
        ));
    }
    let as_stored = OutputLayout::as_stored(&output.stored);
    let layout = output.layout.as_ref().unwrap_or(&as_stored);
    let sample = (array.shape.first() == Some(&samples)).then(|| squeezed(&array.shape[1..]));
    let mut values = Vec::new();
    array.extend_f32(0..array.shape.iter().product(), &mut values);
    let values = if array.shape == layout.batched_shape(samples) {
        let values = layout.with_batch_in_front(samples, values);
        layout.samples_in_tensor_order(&output.stored, &values)
    } else if sample.as_ref() == Some(&squeezed(&layout.shape)) {
        layout.samples_in_tensor_order(&output.stored, &values)
    } else if sample.as_ref() == Some(&stored) {
        values
    } else {
        return Err(format!(
            "shape {:?}, expected {:?} as the network's outputs have it{}; choose the right array with FILE:X,Y, or leave labels out with FILE:X",
            array.shape,
            layout.batched_shape(samples),
            if elements > 1 {
                format!(", or [{samples}] for class numbers")
            } else {
                String::new()
            }
        ));
    };
    let mut chosen = Vec::with_capacity(indices.len() * elements);
    for &index in indices {
        let target = &values[index * elements..][..elements];
        if let Some(value) = target.iter().find(|value| !value.is_finite()) {
            return Err(format!(
                "sample {index} has the target {value}, expected finite numbers; leave it out with [!{index}:{}]",
                index + 1
            ));
        }
        chosen.extend_from_slice(target);
    }
    Ok(chosen)
}
