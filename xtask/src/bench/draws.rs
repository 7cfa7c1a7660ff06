//! `cargo xtask bench draws`: spread of a result by random variation.
//!
//! Neither the order of calibration samples nor the recipe's seed changes the network that comes out. Which samples there are does: each draw leaves
//! some of them out, and the network should be as good.

use std::time::Instant;

use anyhow::{Result, bail};
use fewbit::pipeline::{self, Calibration};
use fewbit::progress::Silent;
use fewbit::recipe::{Granularity, WeightBits};

use fewbit_cli::choice;
use fewbit_tests::networks::{Net, Network};

/// Arguments of `bench draws`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The network
    #[arg(long, value_enum, value_name = "NET", default_value_t = Net::Digits)]
    net: Net,
    /// Draws
    #[arg(long, value_name = "N", default_value_t = 20)]
    draws: u64,
    /// Number of samples to calibrate on, drawn again each time; default: all but one in sixteen
    #[arg(long, value_name = "N")]
    only: Option<usize>,
    /// One weight scale for each output channel, or one for each tensor
    #[arg(long, value_parser = choice::<Granularity>(), default_value = "per-tensor")]
    granularity: Granularity,
    /// Storage type of the weights
    #[arg(long, value_parser = choice::<WeightBits>(), default_value = "int8")]
    weights: WeightBits,
    /// Samples to measure on, spread over all; default: all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Quantizes once for each draw and prints the signal-to-noise ratios.
///
/// # Errors
///
/// A network that is absent, and runs that fail.
pub fn task(args: &Args) -> Result<()> {
    let Some(network) = Network::load(args.net)? else {
        bail!("{} is absent", args.net.name());
    };
    let evaluation = match args.limit {
        Some(samples) => network.evaluation.thinned(samples),
        None => network.evaluation.clone(),
    };
    let mut recipe = network.recipe.clone();
    recipe.weights.granularity = args.granularity;
    recipe.weights.bits = args.weights;
    let mut found = Vec::new();
    for seed in 0..args.draws {
        let all = network.calibration.samples;
        let samples = args.only.unwrap_or(all - all.div_ceil(16));
        let drawn = network.calibration.drawn(samples, seed + 1000);
        let on = Calibration::Samples(&drawn);
        let quantized = pipeline::quantize(&network.float, on, &recipe, &mut Silent)?;
        let report = pipeline::evaluate(
            &network.float,
            &quantized,
            &evaluation,
            &recipe,
            Instant::now(),
            &mut Silent,
        )?;
        let Some(db) = report.integer.sqnr_db else {
            bail!("there is no noise");
        };
        note!("draw {seed}: {db:.2} dB");
        found.push(db);
    }
    found.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (found.first(), found.last()) else {
        bail!("no draw was asked for");
    };
    say!(
        "{}: {} draws, {least:.2} to {most:.2} dB, median {:.2}, spread {:.2}",
        args.net.name(),
        found.len(),
        found[found.len() / 2],
        most - least
    )?;
    Ok(())
}
