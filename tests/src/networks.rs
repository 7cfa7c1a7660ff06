//! Real networks, quantized: what the suites on accuracy and on boards share.
//!
//! Which samples calibrate and which evaluate is fixed here. The CIFAR file is ordered by class, so every fourth image calibrates;
//! of the keyword file every fifth sample does. The person-detection network comes without data: scaled-up CIFAR images take their place.

use crate::models;
use fewbit::dataset::{Dataset, InputLayout, InputTransform};
use fewbit::default_model;
use fewbit::graph::Graph;
use fewbit::import::{self, ImportOptions};
use fewbit::pipeline::{self, Quantized};
use fewbit::progress::Silent;
use fewbit::recipe::Recipe;
use fewbit::report::QuantizeReport;
use std::path::Path;
use std::time::Instant;

/// A float network with its samples.
pub struct Network {
    /// The float network.
    pub float: Graph,
    /// Samples to find ranges on.
    pub calibration: Dataset,
    /// Other samples, to measure on.
    pub evaluation: Dataset,
    /// The recipe, all defaults but the input's preprocessing.
    pub recipe: Recipe,
}

impl Network {
    /// The built-in digits network.
    pub fn digits() -> Network {
        let float =
            default_model::graph(&ImportOptions::default()).expect("the built-in model imports");
        let recipe = default_model::recipe().expect("the built-in recipe parses");
        let layout = InputLayout::of(&float).expect("one input");
        Network {
            calibration: default_model::calibration(&layout, &recipe.input).expect("built in"),
            evaluation: default_model::evaluation(&layout, &recipe.input).expect("built in"),
            float,
            recipe,
        }
    }

    /// ResNet8 on CIFAR images; `None` if its files are absent.
    pub fn resnet8() -> Option<Network> {
        let data = models::find(CIFAR)?;
        from_file("resnet8/resnet8_float.onnx", &data, 4)
    }

    /// Keyword spotting; `None` if its files are absent.
    pub fn kws() -> Option<Network> {
        let data = models::find("kws/kws01.npz")?;
        from_file("kws/kws_float.onnx", &data, 5)
    }

    /// Person detection, calibrated on 100 scaled-up CIFAR images and measured on 100 others; `None` if its files are absent.
    pub fn vww() -> Option<Network> {
        let float = load("vww/vww_float.onnx")?;
        let data = models::find(CIFAR)?;
        let bytes = |slice: &str| {
            let spec = format!("{}{slice}", data.display())
                .parse()
                .expect("a data set");
            let layout = InputLayout {
                shape: vec![32, 32, 3],
                source_shape: vec![32, 32, 3],
                source_axes: vec![0, 1, 2],
            };
            let transform = InputTransform {
                divisor: 255.0,
                ..InputTransform::default()
            };
            let small = Dataset::load(&spec, &layout, &transform).expect("the images load");
            enlarged(&small, 32, 3)
        };
        Some(Network {
            calibration: bytes("[::20]"),
            evaluation: bytes("[10::20]"),
            float,
            recipe: Recipe::default(),
        })
    }

    /// Quantizes with the network's recipe.
    pub fn quantize(&self) -> Quantized {
        pipeline::quantize(&self.float, &self.calibration, &self.recipe, &mut Silent)
            .expect("quantizes")
    }

    /// Measures a quantized form.
    pub fn evaluate(&self, quantized: &Quantized) -> QuantizeReport {
        let started = Instant::now();
        pipeline::evaluate(
            &self.float,
            quantized,
            &self.evaluation,
            &self.recipe,
            started,
            &mut Silent,
        )
        .expect("runs")
    }
}

const CIFAR: &str = "cifar10_jpeg/cifar10_jpeg_test2000.npz";

fn load(model: &str) -> Option<Graph> {
    let path = models::find(model)?;
    Some(import::load(&path, &ImportOptions::default()).expect("the model imports"))
}

/// Every `step`th sample calibrates, the others evaluate.
fn from_file(model: &str, data: &Path, step: usize) -> Option<Network> {
    let float = load(model)?;
    let recipe = Recipe::default();
    let layout = InputLayout::of(&float).expect("one input");
    let samples = |slice: String| {
        let spec = format!("{}{slice}", data.display())
            .parse()
            .expect("a data set");
        Dataset::load(&spec, &layout, &recipe.input).expect("the data load")
    };
    Some(Network {
        calibration: samples(format!("[::{step}]")),
        evaluation: samples(format!("[!::{step}]")),
        float,
        recipe,
    })
}

/// Images of `size` x `size` x 3 with every pixel repeated `factor` times in both directions.
pub fn enlarged(images: &Dataset, size: usize, factor: usize) -> Dataset {
    let mut inputs = Vec::with_capacity(images.inputs.len() * factor * factor);
    for row in images.inputs.chunks_exact(size * 3) {
        let wide: Vec<f32> = row
            .chunks_exact(3)
            .flat_map(|pixel| pixel.repeat(factor))
            .collect();
        (0..factor).for_each(|_| inputs.extend_from_slice(&wide));
    }
    Dataset {
        inputs,
        samples: images.samples,
        labels: None,
    }
}
