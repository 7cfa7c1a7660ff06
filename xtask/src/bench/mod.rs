//! `cargo xtask bench`: figures, measured.

use anyhow::Result;

pub mod accuracy;
mod cases;
pub mod device;
pub mod draws;
pub mod host;
pub mod steps;
pub(crate) mod usage;

/// What is measured.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Bench {
    /// What quantization costs in accuracy, and how long it takes, network by network.
    Accuracy(accuracy::Args),
    /// Instructions, memory and flash on the emulated boards, layer by layer and model by model.
    Device(device::Args),
    /// How fast the float executor is; build with --release for figures to compare.
    Host(host::Args),
    /// What each step of a recipe is worth on a network, one after the other.
    Steps(steps::Args),
    /// How much a result depends on the seed, and on which samples calibrated.
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
