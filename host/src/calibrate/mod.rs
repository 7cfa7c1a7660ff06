//! Calibration: what values the tensors of the float network take.
//!
//! The float executor runs over the calibration set and shows every tensor to its [`Observer`]; the observed [`Range`]s become
//! encodings. Observers stream: nothing of the data is kept but their own state.

mod observer;

pub use observer::{MinMax, Observer, Range, RangeMethod};

use crate::dataset::Dataset;
use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, GraphError, TensorId};
use crate::progress::Progress;

/// The observed range of every tensor of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// The range of a tensor.
    pub fn of(&self, tensor: TensorId) -> Range {
        self.0[tensor]
    }
}

/// Samples run between two steps of the progress bar.
const BLOCK: usize = 64;

/// Runs `graph` over a calibration set and returns the range of every tensor.
///
/// # Errors
/// Where the inputs do not suit the graph, or a tensor takes a value that is not finite.
pub fn observe(
    graph: &Graph,
    calibration: &Dataset,
    method: RangeMethod,
    progress: &mut dyn Progress,
) -> Result<Ranges, CalibrationError> {
    if calibration.samples == 0 {
        return Err(CalibrationError::Empty);
    }
    let mut observers: Vec<Box<dyn Observer>> =
        graph.tensors.iter().map(|_| method.observer()).collect();
    let mut hook = |tensor: TensorId, values: &mut [f32]| observers[tensor].observe(values);
    let executor = Executor::new(graph)?;
    progress.begin("calibrate", calibration.samples);
    for block in calibration.inputs.chunks(BLOCK * calibration.elements()) {
        let samples = block.len() / calibration.elements();
        executor.run(block, samples, &mut hook)?;
        progress.advance(samples);
    }
    let ranges = observers
        .iter()
        .map(|observer| observer.range())
        .collect::<Vec<_>>();
    let wild = ranges
        .iter()
        .position(|range| !range.min.is_finite() || !range.max.is_finite());
    match wild {
        Some(tensor) => Err(CalibrationError::NotFinite {
            tensor: graph.tensors[tensor].name.clone(),
        }),
        None => Ok(Ranges(ranges)),
    }
}

/// Why ranges could not be found.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// There is no sample.
    #[error("the calibration set is empty; give at least one sample")]
    Empty,
    /// A value is infinite or not a number.
    #[error(
        "tensor `{tensor}` takes values that are not finite on the calibration set; check the input's preprocessing and the model's weights"
    )]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
    },
    /// The graph is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The executor refused.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}
