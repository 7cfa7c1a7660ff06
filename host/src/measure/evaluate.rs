//! Accuracy: float, fake-quantized and integer side by side.

use super::chance;
use super::layers::layer_reports;
use super::report::{Accuracy, QuantizeReport};
use super::simulate::Simulator;
use super::subject::Subject;
use crate::compile::lower;
use crate::dataset::{Dataset, OutputForm};
use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, TensorId, logits};
use crate::metrics::{Regression, Sqnr, arg_max, top1};
use crate::progress::Progress;
use crate::quantize::simulation_graph;
use crate::recipe::Recipe;
use crate::{Error, Stage};
use std::time::Instant;

/// Samples between two steps of the progress bar.
const BLOCK: usize = 64;

/// Measures a compiled network against the float one it came from. The caller adds notes, warnings and the number of calibration samples, except
/// a warning if the float network does no better than chance.
///
/// # Errors
/// If the samples do not match the network.
pub fn evaluate(
    float: &Graph,
    subject: Subject<'_>,
    evaluation: &Dataset,
    recipe: &Recipe,
    started: Instant,
    progress: &mut dyn Progress,
) -> Result<QuantizeReport, Error> {
    let failed = |e: ExecutorError| Error::new(Stage::Evaluate, e);
    let network = subject.network;
    let simulated = simulation_graph(network.graph(), network.weights());
    let simulator = Simulator::new(subject.blob).map_err(|e| Error::new(Stage::Evaluate, e))?;
    let logits = Logits::of(float, subject);
    let float_executor = Executor::new(float).map_err(|e| Error::new(Stage::Evaluate, e))?;
    let simulated_executor =
        Executor::new(&simulated).map_err(|e| Error::new(Stage::Evaluate, e))?;

    let form = OutputForm::of(float);
    let mut measured = [(); 3].map(|()| Measured::new(form.elements()));
    // An arg max means something where there are labels or the network ends in a softmax, and there is a choice.
    let classifies = (evaluation.labels.is_some() || logits.op.is_some())
        && evaluation.targets.is_none()
        && form.elements() > 1;
    progress.begin("evaluate", evaluation.samples);
    for block in evaluation.inputs.chunks(BLOCK * evaluation.elements()) {
        let samples = block.len() / evaluation.elements();
        let mut reference = Vec::new();
        let mut keep = |tensor: TensorId, values: &mut [f32]| {
            if tensor == logits.float {
                reference.extend_from_slice(values);
            }
        };
        let output = float_executor
            .run(block, samples, &mut keep)
            .map_err(failed)?;
        measured[0].add(&output, &output, &reference, &reference);

        let mut found = Vec::new();
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            network.encodings().fake_quantize(tensor, values);
            if tensor == logits.folded {
                found.extend_from_slice(values);
            }
        };
        let rounded = simulated_executor
            .run(block, samples, &mut hook)
            .map_err(failed)?;
        measured[1].add(&rounded, &output, &found, &reference);

        let inputs = simulator.quantize_inputs(block);
        let results = simulator
            .run(&inputs, logits.op)
            .map_err(|e| Error::new(Stage::Evaluate, e))?;
        let (bytes, encoding) = match logits.op.and_then(|op| simulator.op_encoding(op)) {
            Some(encoding) => (&results.captured, encoding),
            None => (&results.output, simulator.output_encoding()),
        };
        let integer = simulator.output_encoding().dequantize_all(&results.output);
        measured[2].add(
            &integer,
            &output,
            &encoding.dequantize_all(bytes),
            &reference,
        );
        progress.advance(samples);
    }
    let [float_accuracy, simulated_accuracy, integer_accuracy] =
        measured.map(|measured| measured.accuracy(evaluation, &form, classifies));
    let chance = chance::of_accuracy(float_accuracy.top1, evaluation.samples, form.elements());
    // Prepared weights are as large as the network.
    drop((float_executor, simulated_executor));
    let layers = layer_reports(subject, &simulated, &simulator, evaluation)?;
    Ok(QuantizeReport {
        model: float.name.clone(),
        recipe: recipe.clone(),
        samples: evaluation.samples,
        float: Accuracy {
            sqnr_db: None,
            agreement: None,
            ..float_accuracy
        },
        simulated: simulated_accuracy,
        integer: integer_accuracy,
        blob_bytes: subject.blob.len(),
        weight_bytes: subject.lowered.weight_bytes,
        arena_bytes: subject.plan.arena_bytes,
        arena_lower_bound_bytes: subject.plan.lower_bound,
        macs: subject.lowered.ops.iter().map(|op| op.macs).sum(),
        seconds: started.elapsed().as_secs_f64(),
        calibration_samples: 0,
        sqnr_tensor: float.tensors[logits.float].name.clone(),
        layers,
        notes: Vec::new(),
        warnings: chance.into_iter().collect(),
    })
}

/// Place of the comparison: the network's output, or the input of its final softmax, which would hide earlier differences.
struct Logits {
    /// Tensor in the float graph.
    float: TensorId,
    /// Tensor in the folded graph.
    folded: TensorId,
    /// Device operator that writes it; `None` if it is the network's output.
    op: Option<usize>,
}

impl Logits {
    fn of(float: &Graph, subject: Subject<'_>) -> Logits {
        let (in_float, folded) = (logits(float), logits(subject.network.graph()));
        let hidden = folded != subject.network.graph().outputs[0];
        let tensor = subject
            .lowered
            .tensors
            .iter()
            .position(|tensor| hidden && tensor.source == folded);
        let writes = |op: &lower::LoweredOp| Some(usize::from(op.op.output())) == tensor;
        Logits {
            float: in_float,
            folded,
            op: tensor.and_then(|_| subject.lowered.ops.iter().position(writes)),
        }
    }
}

/// Outputs of one form of the network over the evaluation set.
struct Measured {
    /// Elements of one output.
    classes: usize,
    outputs: Vec<f32>,
    agreeing: usize,
    samples: usize,
    sqnr: Sqnr,
}

impl Measured {
    fn new(classes: usize) -> Self {
        Measured {
            classes,
            outputs: Vec::new(),
            agreeing: 0,
            samples: 0,
            sqnr: Sqnr::default(),
        }
    }

    /// Adds a block: outputs and logits, of this form and of the float network.
    fn add(&mut self, output: &[f32], float_output: &[f32], logits: &[f32], float_logits: &[f32]) {
        self.outputs.extend_from_slice(output);
        self.sqnr.add(float_logits, logits);
        let pairs = output
            .chunks_exact(self.classes)
            .zip(float_output.chunks_exact(self.classes));
        for (found, expected) in pairs {
            self.agreeing += usize::from(arg_max(found) == arg_max(expected));
            self.samples += 1;
        }
    }

    fn accuracy(&self, data: &Dataset, form: &OutputForm, classifies: bool) -> Accuracy {
        let targets = data.targets.as_deref();
        let regression =
            targets.and_then(|targets| Regression::of(&self.outputs, targets, data.samples));
        let accuracy = Accuracy {
            top1: (data.labels.as_deref())
                .and_then(|labels| top1(&form.in_file_order(&self.outputs), labels)),
            sqnr_db: self.sqnr.db(),
            agreement: (classifies && self.samples > 0)
                .then(|| self.agreeing as f64 / self.samples as f64),
            ..Accuracy::default()
        };
        accuracy.with_regression(regression)
    }
}
