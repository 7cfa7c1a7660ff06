//! Layouts of samples in files and in the network.

use super::DatasetError;
use crate::graph::Graph;

/// Layout of samples in files and in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputLayout {
    /// Shape of the network's input tensor, channels last, without the batch dimension.
    pub shape: Vec<usize>,
    /// Shape in the model file.
    pub source_shape: Vec<usize>,
    /// Axis `i` of `shape` is axis `source_axes[i]` of `source_shape`.
    pub source_axes: Vec<usize>,
}

impl InputLayout {
    /// The layout of a network's only input.
    ///
    /// # Errors
    /// If the network has no input or several.
    pub fn of(graph: &Graph) -> Result<Self, DatasetError> {
        match &graph.inputs[..] {
            [input] => Ok(InputLayout {
                shape: graph.tensors[input.tensor].shape.clone(),
                source_shape: input.source_shape.clone(),
                source_axes: input.source_axes.clone(),
            }),
            inputs => Err(DatasetError::Inputs {
                graph: graph.name.clone(),
                inputs: inputs.len(),
            }),
        }
    }

    /// Layout of pixels of `channels` channels, each a sample of its own.
    pub fn pixels(channels: usize) -> Self {
        InputLayout {
            shape: vec![channels],
            source_shape: vec![channels],
            source_axes: vec![0],
        }
    }

    /// Elements of one sample.
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Size of the last axis, along which transforms differ.
    pub(crate) fn channels(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}
