//! `cargo xtask bench`: measured figures.

use anyhow::Result;

pub mod accuracy;
mod cases;
pub mod device;
pub mod draws;
pub mod host;
pub mod steps;
pub(crate) mod usage;

/// Benchmarks.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Bench {
    /// Loss of accuracy by quantization, and its time, per network.
    Accuracy(accuracy::Args),
    /// Instructions, memory and flash on the emulated boards, layer by layer and model by model.
    Device(device::Args),
    /// Speed of the float executor; build with --release for figures to compare.
    Host(host::Args),
    /// Gain of each step of a recipe on a network, one after the other.
    Steps(steps::Args),
    /// Spread of a result over seeds, and over the choice of calibration samples.
    Draws(draws::Args),
}

/// Runs a benchmark.
///
/// # Errors
///
/// As the benchmark.
pub fn task(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Accuracy(args) => accuracy::task(args),
        Bench::Device(args) => device::task(args),
        Bench::Host(args) => host::task(args),
        Bench::Steps(args) => steps::task(args),
        Bench::Draws(args) => draws::task(args),
    }
}
