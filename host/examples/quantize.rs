//! The library in a page: a model and samples in, a blob and figures out.
//!
//! `cargo run -p fewbit --example quantize --release` takes the built-in digits network; arguments behind `--` take others:
//! `model.onnx samples.npz[::4] samples.npz[!::4] recipe.toml`. The recipe says how samples are prepared, if no more.

use std::{env, error::Error, fs, path::Path, time::Instant};

use fewbit::dataset::{Dataset, InputLayout, OutputForm};
use fewbit::import::{self, ImportOptions};
use fewbit::output::write_atomically;
use fewbit::pipeline::{self, Calibration};
use fewbit::progress::Silent;
use fewbit::recipe::Recipe;

fn main() -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let mut given = env::args().skip(1);
    // Cargo tells the programs that it runs where their package is.
    let package = env::var("CARGO_MANIFEST_DIR").unwrap_or("host".into());
    let mut argument =
        |digits: &str| (given.next()).unwrap_or(format!("{package}/models/digits/{digits}"));
    let model = argument("digits.onnx");
    let calibration = argument("digits.npz:x_train,y_train[0:512]");
    let evaluation = argument("digits.npz:x_test,y_test");
    let recipe = Recipe::from_toml(&fs::read_to_string(argument("recipe.toml"))?)?;

    let float = import::load(Path::new(&model), &ImportOptions::default())?;
    let (layout, form) = (InputLayout::of(&float)?, OutputForm::of(&float));
    let samples = Dataset::load_inputs(&calibration.parse()?, &layout, &recipe.input)?;
    let others = Dataset::load_for(&evaluation.parse()?, &layout, &recipe.input, &form)?;

    let on = Calibration::Samples(&samples);
    let quantized = pipeline::quantize(&float, on, &recipe, &mut Silent)?;
    let report = pipeline::evaluate(&float, &quantized, &others, &recipe, started, &mut Silent)?;

    let blob = Path::new("out/quantized.fewbit");
    fs::create_dir_all("out")?;
    write_atomically(blob, quantized.blob.as_bytes())?;
    for (network, accuracy) in [("float", &report.float), ("integer", &report.integer)] {
        let top1 = accuracy
            .top1
            .map_or("no".into(), |share| format!("{:.2} %", share * 100.0));
        println!("{network}: {top1} top-1");
    }
    println!(
        "SQNR {:.1} dB over {} samples",
        report.integer.sqnr_db.unwrap_or(f64::INFINITY),
        report.samples
    );
    println!(
        "{}: {} bytes, and {} of RAM",
        blob.display(),
        report.blob_bytes,
        report.arena_bytes
    );
    Ok(())
}
