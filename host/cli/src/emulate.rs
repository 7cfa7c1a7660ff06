//! `fewbit emulate`: a blob on an emulated board, with random inputs.
//!
//! This shows the cost and the needs of firmware without data. `verify` compares
//! with the host.

use std::path::PathBuf;

use anyhow::Result;
use fewbit::random::Random;

use fewbit_device::{
    board::Board,
    firmware,
    semihosted::{self, Options},
};

use crate::{Bar, Environment};

/// Arguments of `emulate`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The blob to run.
    blob: PathBuf,
    /// Board to run it on, a folder of `boards/`.
    #[arg(long, default_value = "mps2-an386")]
    board: String,
    /// Number of inferences.
    #[arg(long, default_value_t = 1)]
    inputs: usize,
    /// Seed of the inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also print the cost of every operator.
    #[arg(long)]
    operators: bool,
}

/// Runs the blob and prints one line per inference.
///
/// # Errors
///
/// Those of [`firmware::build`] and [`semihosted::run_firmware`].
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let board = Board::load(&environment.repository()?, &args.board)?;
    let firmware = firmware::build(&board, &args.blob)?;
    let size = semihosted::model_facts(&board, &firmware)?.input_bytes;
    let mut random = Random::new(args.seed);
    let inputs: Vec<Vec<i8>> = (0..args.inputs).map(|_| random.bytes(size)).collect();
    let options = Options {
        operators: args.operators,
        ..Options::default()
    };
    let report = semihosted::run_firmware_showing(
        &board,
        &firmware,
        &inputs,
        &options,
        &mut Bar::default(),
    )?;
    say!(
        "board: {} ({}), {}",
        report.board,
        board.chip,
        report.compiler
    )?;
    say!(
        "flash: {} bytes, and {} bytes of blob; RAM: {} bytes, of which {} are the arena; stack: {} bytes",
        report.flash_bytes,
        report.blob_bytes,
        report.static_ram_bytes,
        report.arena_bytes,
        report.stack_bytes
    )?;
    for (index, (output, instructions)) in
        report.outputs.iter().zip(&report.instructions).enumerate()
    {
        let shown: Vec<String> = output.iter().take(16).map(i8::to_string).collect();
        let rest = if output.len() > shown.len() {
            " ..."
        } else {
            ""
        };
        say!(
            "input {index}: {instructions} instructions, output {}{rest}",
            shown.join(" ")
        )?;
        for (op, run) in report
            .operators
            .get(index)
            .into_iter()
            .flatten()
            .enumerate()
        {
            say!(
                "  operator {op}: {} instructions, CRC-32 {:08x}",
                run.instructions,
                run.crc
            )?;
        }
    }
    Ok(())
}
