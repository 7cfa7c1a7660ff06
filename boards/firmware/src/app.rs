//! Loads the model, runs every input of a job, reports.
//!
//! The report is these defmt messages, each starting with `fewbit:` and its kind. Slices are printed as hexadecimal
//! bytes. `cost` is what the board's [`Counter`] counts: instructions on an emulated board.
//!
//! | message                                          | when                                                |
//! |--------------------------------------------------|-----------------------------------------------------|
//! | `fewbit:model tensors= ops= arena= input=`       | once, after the blob has loaded                     |
//! | `fewbit:spin rounds= cost=`                      | once, if the job asks for it                        |
//! | `fewbit:operator input= op= cost= crc=`          | mode operators: after each operator                 |
//! | `fewbit:output input= port= bytes=`              | modes outputs and operators: for each model output  |
//! | `fewbit:inference input= cost=`                  | modes outputs and operators: after the outputs      |
//! | `fewbit:bytes input= op= bytes=`                 | mode bytes: for each input                          |
//! | `fewbit:done inputs= stack=`                     | once, at the end                                    |
//!
//! Writing a message costs instructions too; none of them is between the two readings that make a `cost`.

use bytemuck::{cast_slice, cast_slice_mut};
use fewbit_protocol::{
    CRC32,
    job::{HEADER_BYTES, Job, JobError, Mode},
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
    defmt::println!(
        "fewbit:model tensors={=usize} ops={=usize} arena={=usize} input={=usize}",
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
        defmt::println!(
            "fewbit:spin rounds={=u32} cost={=u64}",
            job.spin_rounds,
            cost
        );
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
                defmt::println!("fewbit:inference input={=u32} cost={=u64}", input, cost);
            }
            Mode::Operators => {
                let mut total = 0;
                for op in 0..ops {
                    let start = counter.now();
                    engine.step(op);
                    let cost = counter.cost_since(start);
                    total += cost;
                    let crc = CRC32.checksum(cast_slice(engine.op_output(op)));
                    defmt::println!(
                        "fewbit:operator input={=u32} op={=usize} cost={=u64} crc={=u32:08x}",
                        input,
                        op,
                        cost,
                        crc
                    );
                }
                report_outputs(input, &engine);
                defmt::println!("fewbit:inference input={=u32} cost={=u64}", input, total);
            }
            Mode::Bytes { op } => {
                let op = op as usize;
                for step in 0..=op {
                    engine.step(step);
                }
                let bytes: &[u8] = cast_slice(engine.op_output(op));
                defmt::println!(
                    "fewbit:bytes input={=u32} op={=usize} bytes={=[u8]:02x}",
                    input,
                    op,
                    bytes
                );
            }
        }
    }
    defmt::println!(
        "fewbit:done inputs={=u32} stack={=usize}",
        job.inputs,
        stack::used_bytes()
    );
    Ok(())
}

/// Sends all outputs of the model.
fn report_outputs(input: u32, engine: &ModelEngine<'_, '_>) {
    for port in 0..engine.model().output_count() {
        let bytes: &[u8] = cast_slice(engine.output(port));
        defmt::println!(
            "fewbit:output input={=u32} port={=usize} bytes={=[u8]:02x}",
            input,
            port,
            bytes
        );
    }
}
