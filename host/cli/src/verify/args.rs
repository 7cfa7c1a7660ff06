//! Arguments of `verify`.

use std::{path::PathBuf, time::Duration};

use fewbit::dataset::DatasetSpec;

/// Default time limit of the emulator.
pub const LIMIT: Duration = Duration::from_secs(1800);

/// Arguments of `verify`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Blob; default: the blob of the built-in digits network, which is quantized first if needed
    pub blob: Option<PathBuf>,
    /// Board to run it on, a folder of `boards/`
    #[arg(long, default_value = "mps2-an386")]
    pub board: String,
    /// First pack a blob that is not packed for a processor for the board's kernels, in memory; neither its file nor its outputs change
    #[arg(long)]
    pub repack: bool,
    /// Inputs, as in `data.npz:x_test,y_test` or `data.npz[::4]`; default: the digits for the built-in network, random bytes for others
    #[arg(long, value_name = "DATA")]
    pub data: Option<DatasetSpec>,
    /// Use only the first N inputs
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Time limit in seconds: of the emulator for all inputs (default 1800), or of one inference over a line (default 120)
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Transport to the board; default: `semihosting` for an emulated board, otherwise `serial`
    #[arg(long)]
    pub transport: Option<Transport>,
    /// Serial port of the board, such as /dev/ttyACM0, or HOST:PORT of a server that forwards bytes; for `rtt`, HOST:PORT of a GDB server
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Write the result as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Transport to a board.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The emulator's semihosting files and console: all inputs at once.
    Semihosting,
    /// A UART, with the framed serial protocol; on an emulated board the emulator's UART.
    Serial,
    /// The same protocol through memory, by RTT: over the emulator's debug server, the server at `--port`, or else probe-rs'.
    Rtt,
}
