//! The arguments of `verify`.

use std::{path::PathBuf, time::Duration};

use fewbit::dataset::DatasetSpec;

/// Time that the emulator may take.
pub const LIMIT: Duration = Duration::from_secs(1800);

/// Arguments of `verify`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The blob; without one, that of the built-in digits network, quantized first if it is not there yet
    pub blob: Option<PathBuf>,
    /// Folder of `boards/` to run it on
    #[arg(long, default_value = "mps2-an386")]
    pub board: String,
    /// Pack a blob that runs on any processor for the board's kernels first, in memory; its file stays as it is, and so do the outputs
    #[arg(long)]
    pub repack: bool,
    /// Inputs, as in `data.npz:x_test,y_test` or `data.npz[::4]`; without any, the digits for the built-in network and random bytes for others
    #[arg(long, value_name = "DATA")]
    pub data: Option<DatasetSpec>,
    /// Use only the first N inputs
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Seconds that the emulator may take for all inputs (1800 if not given), or one inference over a line (120)
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// How the board is talked to; `semihosting` where it is emulated, else `serial`
    #[arg(long)]
    pub transport: Option<Transport>,
    /// Serial port of the board, such as /dev/ttyACM0, or HOST:PORT of a server that passes bytes on; for `rtt`, HOST:PORT of a GDB server
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// How a board is talked to.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A debugger's files and console, as the emulator has them: all inputs at once.
    Semihosting,
    /// A UART, with the framed serial protocol; on an emulated board the emulator's UART.
    Serial,
    /// The same protocol through memory, by RTT: over the emulator's debug server, the one at `--port`, or else probe-rs'.
    Rtt,
}
