//! `cargo xtask bench steps`: gain of each step of a recipe.

use std::time::Instant;

use anyhow::{Result, bail};
use fewbit::pipeline::{self, Calibration};
use fewbit::progress::Silent;
use fewbit::recipe::Equalize;
use fewbit::recipe::RoundingMethod;
use fewbit::recipe::{BiasCorrection, DataFreeMethod, Granularity, Recipe, WeightBits};
use fewbit_cli::{choice, decibels, percent, table};

use fewbit_tests::networks::{Net, Network};

/// Arguments of `bench steps`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The network
    #[arg(long, value_enum, value_name = "NET", default_value_t = Net::MobilenetV2)]
    net: Net,
    /// With samples instead of without
    #[arg(long)]
    data: bool,
    /// Storage type of the weights
    #[arg(long, value_parser = choice::<WeightBits>(), default_value = "int8")]
    weights: WeightBits,
    /// Samples to measure on, spread over all; default: all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// A step: what it is called, and what it adds to the recipe that the steps before left.
type Step = (&'static str, fn(&mut Recipe));

/// Data-Free Quantization as its authors propose it, then what this project adds.
const WITHOUT_DATA: &[Step] = &[
    (
        "folded, nearest, ranges from statistics (5 deviations)",
        |recipe| {
            bare(recipe);
            recipe.data_free.method = DataFreeMethod::Statistics;
            recipe.activations.deviations = Some(5.0);
        },
    ),
    (
        "+ equalized by weights, to convergence, exact clips",
        |recipe| {
            recipe.passes.equalize = Equalize::Weights;
        },
    ),
    ("+ high biases absorbed", |recipe| {
        recipe.passes.absorb_high_bias = true;
    }),
    ("+ biases corrected from statistics", |recipe| {
        recipe.passes.bias_correction = BiasCorrection::Analytic;
    }),
    ("- absorption", |recipe| {
        recipe.passes.absorb_high_bias = false;
    }),
    ("equalized for the least noise instead", |recipe| {
        recipe.passes.equalize = Equalize::Full;
    }),
    ("ranges and biases from synthetic samples", |recipe| {
        recipe.data_free.method = DataFreeMethod::Synthetic;
        recipe.passes.bias_correction = BiasCorrection::Auto;
    }),
    ("3 deviations instead of 5", |recipe| {
        recipe.activations.deviations = None;
    }),
    ("the default", |recipe| {
        *recipe = Recipe {
            input: recipe.input.clone(),
            weights: Recipe::default()
                .weights
                .with(recipe.weights.bits, recipe.weights.granularity),
            ..Recipe::default()
        };
    }),
];

const WITH_DATA: &[Step] = &[
    ("folded, nearest, min-max ranges", |recipe| {
        bare(recipe);
        recipe.activations.range = fewbit::range::RangeMethod::MinMax;
    }),
    ("+ biases corrected", |recipe| {
        recipe.passes.bias_correction = BiasCorrection::Auto;
    }),
    ("+ equalized by weights", |recipe| {
        recipe.passes.equalize = Equalize::Weights;
    }),
    ("equalized for the least noise instead", |recipe| {
        recipe.passes.equalize = Equalize::Full;
    }),
    ("+ ranges by weighted error", |recipe| {
        recipe.activations.range = Recipe::default().activations.range;
    }),
    ("+ weights rounded by the layer's output", |recipe| {
        recipe.rounding.method = RoundingMethod::default();
    }),
    ("+ scales searched (4 bits): the default", |recipe| {
        recipe.weights.scale_search = true;
    }),
];

fn bare(recipe: &mut Recipe) {
    recipe.passes.equalize = Equalize::Off;
    recipe.passes.absorb_high_bias = false;
    recipe.passes.bias_correction = BiasCorrection::Off;
    recipe.rounding.method = RoundingMethod::Nearest;
    recipe.weights.scale_search = false;
}

/// Runs the steps, per tensor and per channel, and prints their table.
///
/// # Errors
///
/// A network that is absent, and steps that fail.
pub fn task(args: &Args) -> Result<()> {
    let Some(network) = Network::load(args.net)? else {
        bail!("{} is absent", args.net.name());
    };
    let evaluation = match args.limit {
        Some(samples) => network.evaluation.thinned(samples),
        None => network.evaluation.clone(),
    };
    let ranges: Vec<_> = network.recipe.input.real_range().into_iter().collect();
    let on = match args.data {
        true => Calibration::Samples(&network.calibration),
        false if ranges.is_empty() => bail!("the range of the input is not known"),
        false => Calibration::Statistics(&ranges),
    };
    let mut shown = table(&["step", "per tensor", "top-1", "per channel", "top-1", "s"]);
    let mut recipe = network.recipe.clone();
    recipe.weights.bits = args.weights;
    for (name, change) in if args.data { WITH_DATA } else { WITHOUT_DATA } {
        change(&mut recipe);
        let started = Instant::now();
        let mut cells = vec![(*name).to_owned()];
        for granularity in [Granularity::PerTensor, Granularity::PerChannel] {
            recipe.weights.granularity = granularity;
            let quantized = pipeline::quantize(&network.float, on, &recipe, &mut Silent)?;
            let report = pipeline::evaluate(
                &network.float,
                &quantized,
                &evaluation,
                &recipe,
                started,
                &mut Silent,
            )?;
            cells.push(decibels(report.integer.sqnr_db));
            cells.push(percent(report.integer.top1));
        }
        cells.push(format!("{:.1}", started.elapsed().as_secs_f64()));
        note!("{}", cells.join("  "));
        shown.add_row(cells);
    }
    say!("{shown}")?;
    Ok(())
}
