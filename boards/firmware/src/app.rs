//! Loads the model, runs every input of a job, reports.
//!
//! The report consists of the lines of [`fewbit_protocol::report`]; a cost is the count of the board's [`Counter`]: instructions on an
//! emulated board. The model is reported once it has loaded, then what the job asks for, and at the end that the job is done.
//!
//! Writing a message costs instructions too; none of them is between the two readings that make a `cost`.

use bytemuck::{cast_slice, cast_slice_mut};
use fewbit_protocol::{
    CRC32,
    job::{HEADER_BYTES, Job, JobError, Mode},
    report,
};
use fewbit_runtime::{Aligned, Engine, Model};
use static_cell::ConstStaticCell;

use crate::{
    counter::{Counter, spin},
    model::{ARENA_BYTES, BLOB, Kernels, OPS, TENSORS},
    stack,
};

/// Source of job and inputs.
pub trait Source {
    /// Fills `bytes` from the stream.
    ///
    /// # Errors
    ///
    /// [`SourceError`] if the stream ends before, or cannot be read.
    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), SourceError>;
}

/// The job ended before all its inputs were read, or the transport failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub struct SourceError;

/// Reason why a run ended without its `fewbit:done`.
#[derive(Clone, Copy, Debug, defmt::Format)]
#[non_exhaustive]
pub enum RunError {
    /// The blob does not load. The build checked it, so the contents of flash have changed.
    Load(fewbit_runtime::LoadError),
    /// The line to the host has come to an end; a real one never does.
    LineEnded,
    /// The slots for models do not suit the board's flash.
    Slots,
    /// The application was called a second time.
    ArenaTaken,
    /// The arena is smaller than the model needs; the build made it as large as the blob's summary says.
    Arena(fewbit_runtime::ArenaTooSmall),
    /// The job's header is wrong.
    Job(JobError),
    /// Header or inputs end too early.
    Source(SourceError),
    /// The inputs do not have the model's size.
    InputBytes {
        /// Bytes of the model's inputs.
        expected: usize,
        /// Bytes in the job's header.
        found: u32,
    },
    /// The job names an operator that the model does not have.
    NoSuchOperator {
        /// Number of operators of the model.
        ops: usize,
        /// Index in the job.
        found: usize,
    },
}

impl From<SourceError> for RunError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// Engine of the model that this firmware was built with.
pub type ModelEngine<'m, 'a> = Engine<'m, 'a, TENSORS, OPS, Kernels>;

/// Takes the arena. Once: it stays taken.
///
/// # Errors
///
/// [`RunError::ArenaTaken`].
pub fn arena() -> Result<&'static mut [i8], RunError> {
    // In .bss from the start: an arena that was built on the stack first would need its size twice.
    static ARENA: ConstStaticCell<Aligned<[i8; ARENA_BYTES]>> =
        ConstStaticCell::new(Aligned([0; ARENA_BYTES]));

    Ok(&mut ARENA.try_take().ok_or(RunError::ArenaTaken)?.0)
}

/// Loads a model, combines it with the arena, and calls `act`.
///
/// # Errors
///
/// [`RunError`] if the model cannot be loaded or needs a larger arena, and those of `act`.
pub fn with_engine<R>(
    blob: &[u8],
    arena: &mut [i8],
    act: impl FnOnce(ModelEngine<'_, '_>) -> Result<R, RunError>,
) -> Result<R, RunError> {
    let model = Model::<TENSORS, OPS, Kernels>::with_kernels(blob).map_err(RunError::Load)?;
    let engine = Engine::new(&model, arena).map_err(RunError::Arena)?;
    act(engine)
}

/// Runs the job of `source` and reports it.
///
/// # Errors
///
/// [`RunError`], for the caller to log and to end with. All messages before are valid.
pub fn run(source: &mut impl Source, counter: &mut impl Counter) -> Result<(), RunError> {
    with_engine(&BLOB.0, arena()?, |engine| run_job(engine, source, counter))
}

fn run_job(
    mut engine: ModelEngine<'_, '_>,
    source: &mut impl Source,
    counter: &mut impl Counter,
) -> Result<(), RunError> {
    let model = engine.model();
    let ops = model.op_count();
    let expected: usize = (0..model.input_count())
        .map(|port| engine.input_mut(port).len())
        .sum();
    report!(
        defmt::println,
        model,
        model.tensor_count(),
        ops,
        model.arena_bytes(),
        expected
    );

    let mut header = [0; HEADER_BYTES];
    source.read_exact(&mut header)?;
    let job = Job::parse(&header).map_err(RunError::Job)?;
    if let Mode::Bytes { op } = job.mode
        && op as usize >= ops
    {
        let found = op as usize;
        return Err(RunError::NoSuchOperator { ops, found });
    }
    if job.spin_rounds != 0 {
        let start = counter.now();
        spin(job.spin_rounds);
        let cost = counter.cost_since(start);
        report!(defmt::println, spin, job.spin_rounds, cost);
    }

    if job.inputs != 0 && u32::try_from(expected) != Ok(job.input_bytes) {
        return Err(RunError::InputBytes {
            expected,
            found: job.input_bytes,
        });
    }
    for input in 0..job.inputs {
        // One input of the job fills all inputs of the model, one after the other.
        for port in 0..model.input_count() {
            source.read_exact(cast_slice_mut(engine.input_mut(port)))?;
        }
        match job.mode {
            Mode::Outputs => {
                let start = counter.now();
                engine.run();
                let cost = counter.cost_since(start);
                report_outputs(input, &engine);
                report!(defmt::println, inference, input, cost);
            }
            Mode::Operators => {
                let mut total = 0;
                for op in 0..ops {
                    let start = counter.now();
                    engine.step(op);
                    let cost = counter.cost_since(start);
                    total += cost;
                    let crc = CRC32.checksum(cast_slice(engine.op_output(op)));
                    report!(defmt::println, operator, input, op, cost, crc);
                }
                report_outputs(input, &engine);
                report!(defmt::println, inference, input, total);
            }
            Mode::Bytes { op } => {
                let op = op as usize;
                for step in 0..=op {
                    engine.step(step);
                }
                let bytes: &[u8] = cast_slice(engine.op_output(op));
                report!(defmt::println, bytes, input, op, bytes);
            }
        }
    }
    report!(defmt::println, done, job.inputs, stack::used_bytes());
    Ok(())
}

/// Sends all outputs of the model.
fn report_outputs(input: u32, engine: &ModelEngine<'_, '_>) {
    for port in 0..engine.model().output_count() {
        let bytes: &[u8] = cast_slice(engine.output(port));
        report!(defmt::println, output, input, port, bytes);
    }
}
