//! `cargo xtask bench draws`: how much a result depends on chance.
//!
//! What errors do to the result is found on some of the calibration samples, drawn by the recipe's seed, with random signs from the same seed.
//! Other seeds draw other samples, and the network that comes out should be as good.

use std::time::Instant;

use anyhow::{Result, bail};
use fewbit::pipeline::{self, Calibration};
use fewbit::progress::Silent;
use fewbit::recipe::{Granularity, WeightBits};

use crate::networks::{Net, Network};

/// Arguments of `bench draws`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The network
    #[arg(long, value_enum, value_name = "NET", default_value_t = Net::Digits)]
    net: Net,
    /// Seeds
    #[arg(long, value_name = "N", default_value_t = 20)]
    draws: u64,
    /// Calibrate on so many samples, drawn anew by each seed, and on no others
    #[arg(long, value_name = "N")]
    only: Option<usize>,
    /// One weight scale for each output channel, or one for each tensor
    #[arg(long, value_enum, default_value_t = Granularity::PerTensor)]
    granularity: Granularity,
    /// Storage type of the weights
    #[arg(long, value_enum, default_value_t = WeightBits::Int8)]
    weights: WeightBits,
    /// Samples to measure on, spread over all; default: all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Quantizes once for each seed and prints the signal-to-noise ratios.
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
        recipe.seed = seed;
        let drawn = match args.only {
            Some(samples) => network.calibration.drawn(samples, seed + 1000),
            None => network.calibration.clone(),
        };
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
        eprintln!("seed {seed}: {db:.2} dB");
        found.push(db);
    }
    found.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (found.first(), found.last()) else {
        bail!("no draw was asked for");
    };
    println!(
        "{}: {} draws, {least:.2} to {most:.2} dB, median {:.2}, spread {:.2}",
        args.net.name(),
        found.len(),
        found[found.len() / 2],
        most - least
    );
    Ok(())
}
