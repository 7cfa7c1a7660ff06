//! Runs a model on an emulated board over a set of inputs.
//!
//! One build and one run of the emulator serve any number of inputs. The caller compares the outputs with the host's
//! simulation; if operators differ, [`operator_bytes`] fetches the bytes of the first one.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use fewbit_protocol::job::{JOB_FILE, Job, Mode};

use crate::{
    board::Board,
    firmware::{self, Firmware},
    qemu::{self, Line},
    report::Message,
};
use fewbit::progress::{Progress, Silent};

pub use crate::report::ModelFacts;

/// Options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Also report cost and CRC-32 of every operator.
    pub operators: bool,
    /// Rounds of the loop that checks the instruction counter before the first inference; 0 for none.
    pub spin_rounds: u32,
    /// Time limit of the whole run in the emulator, without the build.
    pub limit: Duration,
}

impl Default for Options {
    /// Outputs only, a short check of the counter, ten minutes.
    fn default() -> Self {
        Self {
            operators: false,
            spin_rounds: 100_000,
            limit: Duration::from_secs(600),
        }
    }
}

/// Result of one operator in one inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorRun {
    /// Instructions, to within a tick of the board's counter (40 at 25 MHz).
    pub instructions: u64,
    /// CRC-32 (as zlib computes it) of its output.
    pub crc: u32,
}

/// Report of a board.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// Name of the board.
    pub board: String,
    /// Version of the firmware's compiler; instruction counts depend on it.
    pub compiler: String,
    /// Output bytes, one entry per input; several outputs of a model follow one another.
    pub outputs: Vec<Vec<i8>>,
    /// Instructions of each inference, to within a tick of the counter. With [`Options::operators`] it is the sum of the operators,
    /// to within a tick per operator and without the engine's work between operators.
    pub instructions: Vec<u64>,
    /// Operators in order, one list per input; empty without [`Options::operators`].
    pub operators: Vec<Vec<OperatorRun>>,
    /// Bytes of the arena that the model needs.
    pub arena_bytes: usize,
    /// Deepest stack since reset in bytes, of application and inference together.
    pub stack_bytes: usize,
    /// Bytes in flash without the blob.
    pub flash_bytes: u64,
    /// Bytes of the blob.
    pub blob_bytes: u64,
    /// Bytes of variables, the arena included and the stack not.
    pub static_ram_bytes: u64,
}

/// Builds the firmware of `board` with the blob in `blob_path` and runs it over `inputs`.
///
/// # Errors
///
/// If the build fails, an input does not have the model's size, the firmware fails or does not end in time, the
/// instruction counter is off, or the report is not complete.
pub fn run(
    board: &Board,
    blob_path: &Path,
    inputs: &[Vec<i8>],
    options: &Options,
) -> Result<DeviceReport> {
    let firmware = firmware::build(board, blob_path)?;
    run_firmware(board, &firmware, inputs, options)
}

/// Runs firmware that is already built; see [`run`].
///
/// # Errors
///
/// As [`run`], without those of the build.
pub fn run_firmware(
    board: &Board,
    firmware: &Firmware,
    inputs: &[Vec<i8>],
    options: &Options,
) -> Result<DeviceReport> {
    run_firmware_showing(board, firmware, inputs, options, &mut Silent)
}

/// As [`run_firmware`]; `progress` is called after each input.
///
/// # Errors
///
/// As [`run_firmware`].
pub fn run_firmware_showing(
    board: &Board,
    firmware: &Firmware,
    inputs: &[Vec<i8>],
    options: &Options,
    progress: &mut (dyn Progress + Send),
) -> Result<DeviceReport> {
    let mode = if options.operators {
        Mode::Operators
    } else {
        Mode::Outputs
    };
    let job = job(mode, options.spin_rounds, inputs)?;
    let messages = messages(board, firmware, &job, inputs.len(), options.limit, progress)?;

    let mut report = DeviceReport {
        board: board.name.clone(),
        compiler: firmware.compiler.clone(),
        outputs: Vec::new(),
        instructions: Vec::new(),
        operators: Vec::new(),
        arena_bytes: 0,
        stack_bytes: 0,
        flash_bytes: firmware.flash_bytes,
        blob_bytes: firmware.blob_bytes,
        static_ram_bytes: firmware.static_ram_bytes,
    };
    let mut operators = Vec::new();
    let mut ops = 0;
    let mut output = Vec::new();
    let mut ports = 0;
    for message in messages {
        match message {
            Message::Model(facts) => {
                ops = facts.ops;
                report.arena_bytes = facts.arena_bytes;
            }
            Message::Spin { rounds, cost } => check_counter(board, rounds, cost)?,
            Message::Operator {
                input,
                op,
                cost,
                crc,
            } => {
                if (input, op) != (report.outputs.len(), operators.len()) {
                    bail!("the report of operator {op} of input {input} came out of order");
                }
                operators.push(OperatorRun {
                    instructions: cost,
                    crc,
                });
            }
            Message::Output { input, port, bytes } => {
                if (input, port) != (report.outputs.len(), ports) {
                    bail!("output {port} of input {input} came out of order");
                }
                ports += 1;
                output.extend(bytes);
            }
            Message::Inference { input, cost } => {
                if input != report.outputs.len() || ports == 0 {
                    bail!("the end of input {input} came out of order");
                }
                if options.operators {
                    if operators.len() != ops {
                        bail!(
                            "input {input}: {} of {ops} operators were reported",
                            operators.len()
                        );
                    }
                    report.operators.push(std::mem::take(&mut operators));
                }
                ports = 0;
                report.outputs.push(std::mem::take(&mut output));
                report.instructions.push(cost);
            }
            Message::Bytes { op, .. } => {
                bail!("bytes of operator {op} were reported without a request")
            }
            Message::Done { stack_bytes, .. } => report.stack_bytes = stack_bytes,
        }
    }
    check_stack(board, report.static_ram_bytes, report.stack_bytes as u64)?;
    if report.outputs.len() != inputs.len() {
        bail!(
            "{} of {} outputs were reported",
            report.outputs.len(),
            inputs.len()
        );
    }
    Ok(report)
}

/// Returns the facts of a firmware's model, without running it.
///
/// # Errors
///
/// As [`run_firmware`].
pub fn model_facts(board: &Board, firmware: &Firmware) -> Result<ModelFacts> {
    let job = job(Mode::Outputs, 0, &[])?;
    let messages = messages(
        board,
        firmware,
        &job,
        0,
        Options::default().limit,
        &mut Silent,
    )?;
    let facts = messages.into_iter().find_map(|message| match message {
        Message::Model(facts) => Some(facts),
        _ => None,
    });
    facts.context("the firmware did not report its model")
}

/// Fetches all bytes of the output of operator `op` for one input.
///
/// # Errors
///
/// As [`run_firmware`], and if the model has no such operator.
pub fn operator_bytes(
    board: &Board,
    firmware: &Firmware,
    input: &[i8],
    op: usize,
) -> Result<Vec<i8>> {
    let word = u32::try_from(op).with_context(|| format!("operator {op}"))?;
    let job = job(Mode::Bytes { op: word }, 0, &[input.to_vec()])?;
    let messages = messages(
        board,
        firmware,
        &job,
        1,
        Options::default().limit,
        &mut Silent,
    )?;
    let bytes = messages.into_iter().find_map(|message| match message {
        Message::Bytes {
            op: found, bytes, ..
        } if found == op => Some(bytes),
        _ => None,
    });
    bytes.with_context(|| format!("the bytes of operator {op} were not reported"))
}

/// Header and inputs, in the format that the firmware reads.
fn job(mode: Mode, spin_rounds: u32, inputs: &[Vec<i8>]) -> Result<Vec<u8>> {
    let size = inputs.first().map_or(0, Vec::len);
    if let Some(index) = inputs.iter().position(|input| input.len() != size) {
        bail!(
            "input {index} has {} bytes and input 0 has {size}; all have the model's size",
            inputs[index].len()
        );
    }
    let header = Job {
        mode,
        inputs: u32::try_from(inputs.len()).context("too many inputs for one run")?,
        input_bytes: u32::try_from(size).context("an input is too large")?,
        spin_rounds,
    };
    let mut job = header.header().to_vec();
    for input in inputs {
        job.extend(input.iter().map(|value| value.cast_unsigned()));
    }
    Ok(job)
}

/// Runs a job to its end and returns its report.
fn messages(
    board: &Board,
    firmware: &Firmware,
    job: &[u8],
    inputs: usize,
    limit: Duration,
    progress: &mut (dyn Progress + Send),
) -> Result<Vec<Message>> {
    let folder =
        tempfile::tempdir().context("cannot create a working directory for the emulator")?;
    let file = JOB_FILE.to_str().context("the name of the job's file")?;
    fs::write(folder.path().join(file), job).context("cannot write the emulator's job")?;
    progress.begin(&board.name, inputs);
    let progress = Mutex::new(progress);
    let on_line = |line: &Line| {
        if Message::ends_inference(&line.text) {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.advance(1);
        }
    };
    let run = qemu::run(board, &firmware.elf, folder.path(), limit, &on_line)?;
    let mut messages = Vec::new();
    let mut errors = Vec::new();
    for line in &run.lines {
        match Message::parse(&line.text)? {
            Some(message) => messages.push(message),
            None if line.level == Some("error") => errors.push(line.text.as_str()),
            None => {}
        }
    }
    if !run.success || !errors.is_empty() {
        let what = if errors.is_empty() {
            "no message says why".to_owned()
        } else {
            errors.join("; ")
        };
        bail!("the firmware of {} failed: {what}", board.name);
    }
    match messages.last() {
        Some(Message::Done { .. }) => Ok(messages),
        _ => bail!(
            "the firmware of {} ended before its job was done",
            board.name
        ),
    }
}

/// Smallest tolerance of the check: the readings' own instructions are counted too, and are more than two short ticks.
const READINGS: u64 = 32;

/// The stack grows towards the variables: if no byte is left between them, it may have overwritten some.
pub fn check_stack(board: &Board, static_ram_bytes: u64, stack_bytes: u64) -> Result<()> {
    if static_ram_bytes + stack_bytes >= board.ram_bytes {
        bail!(
            "the stack of {} ran into the variables: they take {static_ram_bytes} of {} bytes of RAM, and the stack all the rest",
            board.name,
            board.ram_bytes
        );
    }
    Ok(())
}

/// The loop takes two instructions per round; a reading is right to one tick, so a difference of two is right to two ticks.
pub fn check_counter(board: &Board, rounds: u32, cost: u64) -> Result<()> {
    let expected = 2 * u64::from(rounds);
    let slack = (2 * board.instructions_per_tick()).max(READINGS);
    if cost.abs_diff(expected) > slack {
        let off = format!(
            "the instruction counter is off: a loop of {expected} instructions was counted as {cost}; \
             QEMU must run with -icount shift=0"
        );
        if board.target.starts_with("riscv32") {
            // minstret counts instructions, whatever the clock.
            bail!("{off}");
        }
        let fitting = match fitting_clock(board.clock_hz, expected, cost, slack) {
            Some(hz) => format!("clock_hz = {hz} would fit this count"),
            None => "no clock_hz fits this count".to_owned(),
        };
        bail!(
            "{off}, and SysTick of {} at {} Hz, as its board.toml says; {fitting}",
            board.name,
            board.clock_hz
        );
    }
    Ok(())
}

/// Roundest clock for which `expected` instructions would be counted right, if `cost` were counted at `clock_hz`. None
/// if the counter does not count.
fn fitting_clock(clock_hz: u64, expected: u64, cost: u64, slack: u64) -> Option<u64> {
    if expected == 0 {
        return None;
    }
    // The firmware makes ticks into instructions by the clock: the count is off by the same factor as the clock.
    let clock = |cost: u64| u128::from(clock_hz) * u128::from(cost) / u128::from(expected);
    let (low, high) = (clock(cost.saturating_sub(slack)), clock(cost + slack));
    let ones = |power: u32| 10_u128.pow(power);
    let round = (0..=12).rev().find_map(|power| {
        let middle = clock(cost);
        let near = (middle + ones(power) / 2) / ones(power) * ones(power);
        (near >= low && near <= high && near > 0).then_some(near)
    });
    let round = round.filter(|_| cost > 0);
    round.and_then(|hz| u64::try_from(hz).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_a_header_and_the_inputs() {
        let mode = Mode::Bytes { op: 7 };
        let job = job(mode, 5, &[vec![1, -1], vec![-128, 0]]).expect("equal sizes");
        let (header, inputs) = job.split_first_chunk().expect("a header");
        let expected = Job {
            mode,
            inputs: 2,
            input_bytes: 2,
            spin_rounds: 5,
        };
        assert_eq!(Job::parse(header), Ok(expected));
        assert_eq!(inputs, [1, 255, 128, 0]);
    }

    #[test]
    fn inputs_of_different_sizes_are_refused_by_index() {
        let message = job(Mode::Outputs, 0, &[vec![1], vec![1, 2]])
            .expect_err("sizes differ")
            .to_string();
        assert!(message.contains("input 1 has 2 bytes"), "{message}");
    }

    #[test]
    fn a_counter_that_is_off_is_told_with_the_clock_that_fits() {
        // What a board counts whose file says 25 MHz: 40 instructions for each tick of its true clock.
        let told = |true_hz: u64| {
            let ticks = 200_000 * true_hz / 1_000_000_000;
            fitting_clock(25_000_000, 200_000, ticks * 40, 80)
        };
        assert_eq!(told(168_000_000), Some(168_000_000));
        assert_eq!(told(16_000_000), Some(16_000_000));
        assert_eq!(told(12_500_000), Some(12_500_000));
        assert_eq!(told(1_000_000_000), Some(1_000_000_000));
        assert_eq!(told(0), None, "it stands still");

        let repository =
            crate::repository::Repository::of_cargo().expect("tests run in the repository");
        let board = Board::load(&repository, "mps2-an386").expect("a board of 25 MHz");
        let error = check_counter(&board, 100_000, 400_000).expect_err("twice as fast");
        let error = error.to_string();
        assert!(
            error.contains("its board.toml says; clock_hz = 50000000 would fit"),
            "{error}"
        );
        let error = check_counter(&board, 100_000, 0).expect_err("stands still");
        assert!(
            error.to_string().contains("no clock_hz fits this count"),
            "{error}"
        );
    }

    #[test]
    fn the_counter_check_has_a_tick_of_slack_and_no_more() {
        let repository =
            crate::repository::Repository::of_cargo().expect("tests run in the repository");
        let board = Board::load(&repository, "mps2-an386").expect("a board of 25 MHz");
        assert!(check_counter(&board, 1_000_000, 2_000_040).is_ok());
        assert!(check_counter(&board, 1_000_000, 2_000_120).is_err());
        assert!(check_counter(&board, 1_000_000, 2_000_081).is_err());
        assert!(check_counter(&board, 1_000_000, 1_999_880).is_err());
        let board = Board::load(&repository, "netduinoplus2").expect("a board of 168 MHz");
        assert!(check_counter(&board, 1_000_000, 2_000_032).is_ok());
        assert!(check_counter(&board, 1_000_000, 2_000_033).is_err());
    }
}
