//! Calibration: what values the tensors of the float network take.
//!
//! The float executor runs over the calibration set and shows every tensor to its [`Observer`]; the observed [`Range`]s become
//! encodings. Observers stream: nothing of the data is kept but their own state. Without data, [`ranges_from_statistics`] takes what
//! the BatchNorms recorded in training.

mod data_free;
mod error;
mod observer;

pub use data_free::ranges_from_statistics;
pub use error::CalibrationError;
pub use observer::{MinMax, Observer};

use crate::dataset::Dataset;
use crate::executor::Executor;
use crate::graph::{Graph, Op, Tensor, TensorId, TensorMap};
use crate::parallel;
use crate::progress::Progress;
use crate::range::{Range, RangeMethod, RangeOptions, Ranges};

/// Samples run between two steps of the progress bar.
const BLOCK: usize = 64;

/// Runs `graph` over a calibration set and returns the range of every tensor.
///
/// # Errors
/// If the inputs do not match the graph, a tensor takes a value that is not finite, or an option is invalid.
pub fn observe(
    graph: &Graph,
    calibration: &Dataset,
    options: RangeOptions,
    progress: &mut dyn Progress,
) -> Result<Ranges, CalibrationError> {
    observe_with(
        graph,
        calibration,
        options,
        |_| options.observer(),
        progress,
    )
}

/// As [`observe`], where errors of channels count as much as `importance` says, tensor by tensor.
///
/// `results`, the network's, are covered whole, with some room: what saturates there cannot be made good. So are vectors of sums, of which every sample shows but
/// one value per channel: of a global average a few hundred samples do not show the largest value to come.
pub(crate) fn observe_by_importance(
    graph: &Graph,
    calibration: &Dataset,
    options: RangeOptions,
    importance: &TensorMap<Vec<f64>>,
    results: &[TensorId],
    progress: &mut dyn Progress,
) -> Result<Ranges, CalibrationError> {
    let seldom = |tensor: TensorId| {
        let Tensor { shape, .. } = &graph.tensors[tensor];
        let sums = graph.producer(tensor).is_some_and(|id| {
            let op = &graph.nodes[id].op;
            op.linear().is_some()
                || matches!(
                    op,
                    Op::AveragePool { .. } | Op::Add | Op::Sub | Op::Max | Op::Min
                )
        });
        results.contains(&tensor) || (sums && shape.iter().rev().skip(1).all(|&size| size == 1))
    };
    let observer = |tensor: TensorId| {
        if seldom(tensor) {
            RangeOptions::from(RangeMethod::MinMax).observer()
        } else {
            options.observer_of(&importance[tensor])
        }
    };
    let mut ranges = observe_with(graph, calibration, options, observer, progress)?;
    for tensor in graph.tensors.ids().filter(|&tensor| seldom(tensor)) {
        let Range { min, max } = ranges.of(tensor);
        let room = ROOM * (max.max(0.0) - min.min(0.0));
        let end = |end: f32, room: f32| if end == 0.0 { 0.0 } else { end + room };
        let wider = Range {
            min: end(min, -room),
            max: end(max, room),
        };
        ranges.set(tensor, wider);
    }
    Ok(ranges)
}

/// Part of a range that is added at either end: samples to come reach further than those that calibrated.
const ROOM: f32 = 0.1;

fn observe_with(
    graph: &Graph,
    calibration: &Dataset,
    options: RangeOptions,
    observer: impl Fn(TensorId) -> Box<dyn Observer>,
    progress: &mut dyn Progress,
) -> Result<Ranges, CalibrationError> {
    if calibration.samples == 0 {
        return Err(CalibrationError::Empty);
    }
    if !options.is_valid() {
        return Err(CalibrationError::Percentile {
            found: options.percentile,
        });
    }
    let mut observers: TensorMap<Box<dyn Observer>> = graph.tensors.ids().map(observer).collect();
    let mut hook = |tensor: TensorId, values: &mut [f32]| observers[tensor].observe(values);
    let executor = Executor::new(graph)?;
    progress.begin("calibrate", calibration.samples);
    for block in calibration.inputs.chunks(BLOCK * calibration.elements()) {
        let samples = block.len() / calibration.elements();
        executor.run(block, samples, &mut hook)?;
        progress.advance(samples);
    }
    let observers: Vec<_> = observers.iter().collect();
    let ranges = parallel::map(observers.len(), |index| observers[index].range());
    let ranges = TensorMap::from(ranges);
    let wild = ranges.position(|range| !range.min.is_finite() || !range.max.is_finite());
    match wild {
        Some(tensor) => Err(CalibrationError::NotFinite {
            tensor: graph.tensors[tensor].name.clone(),
        }),
        None => Ok(Ranges::new(ranges)),
    }
}
