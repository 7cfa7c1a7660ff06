//! Real networks with their samples: what suites and benchmarks share.
//!
//! Which samples calibrate and which evaluate is fixed here. The CIFAR file is ordered by class, so every fourth image calibrates;
//! of the keyword file every fifth sample does. Networks that come without data get scaled-up CIFAR images, or uniform noise.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use fewbit::dataset::{Dataset, InputLayout, InputTransform};
use fewbit::default_model;
use fewbit::graph::Graph;
use fewbit::import::{self, ImportOptions};
use fewbit::measure::report::QuantizeReport;
use fewbit::pipeline::{self, Calibration, Quantized};
use fewbit::progress::Silent;
use fewbit::range::Range;
use fewbit::recipe::Recipe;
use fewbit_runtime::format::family::Family;

use crate::models;
use crate::repository;

/// A network that suites and benchmarks know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Net {
    /// The built-in digits network, whose channels are badly scaled.
    Digits,
    /// A made-up network whose rounding errors shift its means.
    BiasShift,
    /// ResNet8 on CIFAR images.
    Resnet8,
    /// Keyword spotting.
    Kws,
    /// Person detection: MobileNet with hundreds of dead channels.
    Vww,
    /// Anomaly detection: fully connected layers with large biases.
    Ad,
    /// MobileNet v1 0.25 for 224x224 images.
    MobilenetV1,
    /// EfficientNet-Lite0 for 224x224 images.
    EfficientnetLite0,
    /// MobileNetV2 for 96x96 images: deep, ReLU6, with dead channels.
    MobilenetV2,
    /// A residual network of 20 layers on rendered pictures.
    DeepResnet,
    /// A network like MobileNetV3-Small on rendered pictures: gates and hard-swish.
    MobilenetV3Like,
}

impl Net {
    /// All of them.
    pub const ALL: [Net; 11] = [
        Net::Digits,
        Net::BiasShift,
        Net::Resnet8,
        Net::Kws,
        Net::Vww,
        Net::Ad,
        Net::MobilenetV1,
        Net::EfficientnetLite0,
        Net::MobilenetV2,
        Net::DeepResnet,
        Net::MobilenetV3Like,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Net::Digits => "digits",
            Net::BiasShift => "bias_shift",
            Net::Resnet8 => "resnet8",
            Net::Kws => "kws",
            Net::Vww => "vww",
            Net::Ad => "ad",
            Net::MobilenetV1 => "mobilenet_v1",
            Net::EfficientnetLite0 => "efficientnet_lite0",
            Net::MobilenetV2 => "mobilenetv2_cifar",
            Net::DeepResnet => "deep_resnet",
            Net::MobilenetV3Like => "mobilenet_v3_like",
        }
    }
}

/// A float network with its samples.
pub struct Network {
    /// The float network.
    pub float: Graph,
    /// Samples to find ranges on.
    pub calibration: Dataset,
    /// Other samples, to measure on.
    pub evaluation: Dataset,
    /// The recipe, all defaults but the input's preprocessing and range.
    pub recipe: Recipe,
}

impl Network {
    /// Loads a network; `None`, with a printed note, if its files are absent.
    ///
    /// # Errors
    /// Files that are there and cannot be used.
    pub fn load(net: Net) -> Result<Option<Network>> {
        match net {
            Net::Digits => digits().map(Some),
            Net::BiasShift => bias_shift().map(Some),
            Net::Resnet8 => sampled("resnet8/resnet8_float.onnx", CIFAR, 4, Some([0.0, 255.0])),
            Net::Kws => sampled("kws/kws_float.onnx", "kws/kws01.npz", 5, Some(KWS_RANGE)),
            Net::Vww => enlarged_images(
                "vww/vww_float.onnx",
                transform(255.0, 0.0, 1.0),
                3,
                ["[::20]", "[10::20]"],
            ),
            Net::Ad => noise("ad/ad_float.onnx", [-60.0, 10.0]),
            Net::MobilenetV1 => enlarged_images(
                "mobilenet_v1_025_224/mobilenet_v1_025_224_float.onnx",
                transform(127.5, 1.0, 1.0),
                7,
                ["[::31]", "[10::20]"],
            ),
            Net::EfficientnetLite0 => enlarged_images(
                "efficientnet_lite0/efficientnet_lite0_float.onnx",
                transform(1.0, 127.0, 128.0),
                7,
                ["[::31]", "[10::20]"],
            ),
            Net::MobilenetV2 => smoothly_enlarged_images(
                "mobilenetv2_cifar/mobilenetv2_cifar_float.onnx",
                transform(127.5, 1.0, 1.0),
                96,
                ["[::4]", "[!::4]"],
            ),
            Net::DeepResnet => rendered("deep_resnet").map(Some),
            Net::MobilenetV3Like => rendered("mobilenet_v3_like").map(Some),
        }
    }

    /// Quantizes with the network's recipe.
    ///
    /// # Errors
    /// As [`pipeline::quantize`].
    pub fn quantize(&self) -> Result<Quantized> {
        let on = Calibration::Samples(&self.calibration);
        Ok(pipeline::quantize(
            &self.float,
            on,
            &self.recipe,
            &mut Silent,
        )?)
    }

    /// Quantizes with the network's recipe, packed for a kernel family.
    ///
    /// # Errors
    /// As [`pipeline::quantize`].
    pub fn quantize_for(&self, packing: Family) -> Result<Quantized> {
        let mut recipe = self.recipe.clone();
        recipe.target = packing.into();
        let on = Calibration::Samples(&self.calibration);
        Ok(pipeline::quantize(&self.float, on, &recipe, &mut Silent)?)
    }

    /// Measures a quantized form.
    ///
    /// # Errors
    /// As [`pipeline::evaluate`].
    pub fn evaluate(&self, quantized: &Quantized) -> Result<QuantizeReport> {
        Ok(pipeline::evaluate(
            &self.float,
            quantized,
            &self.evaluation,
            &self.recipe,
            Instant::now(),
            &mut Silent,
        )?)
    }
}

/// Real numbers that -128 and 127 stand for in the keyword file, which holds int8 with this encoding: the network's input gets the same
/// one, so that it is exact.
const KWS_RANGE: [f32; 2] = [-211.0 * 0.584_702_9, 44.0 * 0.584_702_9];

const CIFAR: &str = "cifar10_jpeg/cifar10_jpeg_test2000.npz";

/// Width and height of its images.
const CIFAR_SIZE: usize = 32;

fn digits() -> Result<Network> {
    let float = default_model::graph(&ImportOptions::default())?;
    let recipe = default_model::recipe()?;
    let layout = InputLayout::of(&float)?;
    Ok(Network {
        calibration: default_model::calibration(&layout, &recipe.input)?,
        evaluation: default_model::evaluation(&layout, &recipe.input)?,
        float,
        recipe,
    })
}

fn bias_shift() -> Result<Network> {
    let folder = repository().root().join("tests/models/bias_shift");
    let float = import::load(&folder.join("bias_shift.onnx"), &ImportOptions::default())?;
    let recipe = Recipe::load(&folder.join("recipe.toml"))?;
    let layout = InputLayout::of(&float)?;
    let samples = |array: &str| -> Result<Dataset> {
        let spec = format!("{}:{array}", folder.join("bias_shift.npz").display()).parse()?;
        Ok(Dataset::load(&spec, &layout, &recipe.input)?)
    };
    Ok(Network {
        calibration: samples("x_calibration")?,
        evaluation: samples("x_evaluation")?,
        float,
        recipe,
    })
}

/// A network that was trained on rendered pictures.
fn rendered(name: &str) -> Result<Network> {
    let models = repository().root().join("tests/models");
    let folder = models.join(name);
    let float = import::load(
        &folder.join(format!("{name}.onnx")),
        &ImportOptions::default(),
    )?;
    let recipe = Recipe::load(&folder.join("recipe.toml"))?;
    let layout = InputLayout::of(&float)?;
    let pictures = models.join("synthetic_images/synthetic_images.npz");
    let samples = |arrays: &str| -> Result<Dataset> {
        let spec = format!("{}:{arrays}", pictures.display()).parse()?;
        Ok(Dataset::load(&spec, &layout, &recipe.input)?)
    };
    Ok(Network {
        calibration: samples("x_calibration,y_calibration")?,
        evaluation: samples("x_evaluation,y_evaluation")?,
        float,
        recipe,
    })
}

fn load(model: &str) -> Result<Option<Graph>> {
    models::find(model)
        .map(|path| {
            import::load(&path, &ImportOptions::default())
                .with_context(|| format!("cannot import {}", path.display()))
        })
        .transpose()
}

fn data(
    path: PathBuf,
    slice: &str,
    layout: &InputLayout,
    input: &InputTransform,
) -> Result<Dataset> {
    let spec = format!("{}{slice}", path.display()).parse()?;
    Ok(Dataset::load(&spec, layout, input)?)
}

fn transform(divisor: f32, mean: f32, std: f32) -> InputTransform {
    InputTransform {
        divisor,
        mean: vec![mean],
        std: vec![std],
        range: Some([0.0, 255.0]),
    }
}

/// Every `step`th sample of a file calibrates, the others evaluate.
fn sampled(
    model: &str,
    file: &str,
    step: usize,
    range: Option<[f32; 2]>,
) -> Result<Option<Network>> {
    let (Some(float), Some(path)) = (load(model)?, models::find(file)) else {
        return Ok(None);
    };
    let mut recipe = Recipe::default();
    recipe.input.range = range;
    let layout = InputLayout::of(&float)?;
    let samples = |slice: String| data(path.clone(), &slice, &layout, &recipe.input);
    Ok(Some(Network {
        calibration: samples(format!("[::{step}]"))?,
        evaluation: samples(format!("[!::{step}]"))?,
        float,
        recipe,
    }))
}

/// CIFAR images, every pixel repeated `factor` times in both directions; `slices` are those for calibration and for evaluation.
fn enlarged_images(
    model: &str,
    input: InputTransform,
    factor: usize,
    slices: [&str; 2],
) -> Result<Option<Network>> {
    images(model, input, slices, |small| {
        enlarged(&small, CIFAR_SIZE, factor)
    })
}

/// CIFAR images enlarged to `size` x `size` as the network's head was trained on them, with their labels; `slices` as above.
fn smoothly_enlarged_images(
    model: &str,
    input: InputTransform,
    size: usize,
    slices: [&str; 2],
) -> Result<Option<Network>> {
    images(model, input, slices, |small| Dataset {
        inputs: bilinear(&small.inputs, [CIFAR_SIZE, size], 3),
        ..small
    })
}

/// CIFAR images as `enlarge` makes them of bytes, brought into the network's range.
fn images(
    model: &str,
    input: InputTransform,
    slices: [&str; 2],
    enlarge: impl Fn(Dataset) -> Dataset,
) -> Result<Option<Network>> {
    let (Some(float), Some(path)) = (load(model)?, models::find(CIFAR)) else {
        return Ok(None);
    };
    let layout = InputLayout {
        shape: vec![CIFAR_SIZE, CIFAR_SIZE, 3],
        source_shape: vec![CIFAR_SIZE, CIFAR_SIZE, 3],
        source_axes: vec![0, 1, 2],
    };
    let images = |slice: &str| -> Result<Dataset> {
        let bytes = data(path.clone(), slice, &layout, &InputTransform::default())?;
        let mut large = enlarge(bytes);
        input.apply(&mut large.inputs, &InputLayout::pixels(3));
        Ok(large)
    };
    Ok(Some(Network {
        calibration: images(slices[0])?,
        evaluation: images(slices[1])?,
        float,
        recipe: Recipe {
            input,
            ..Recipe::default()
        },
    }))
}

/// Square images of bytes, enlarged from `from` to `to` pixels a side with the triangle filter, rows first, rounded to bytes after either
/// direction: what Pillow's `resize((to, to), BILINEAR)` computes.
fn bilinear(images: &[f32], [from, to]: [usize; 2], channels: usize) -> Vec<f32> {
    // Of every output pixel the two input pixels around its centre, and the share of the second one.
    let taps: Vec<(usize, usize, f32)> = (0..to)
        .map(|place| {
            let centre = (place as f32 + 0.5) * from as f32 / to as f32 - 0.5;
            let first = centre.max(0.0).floor();
            let second = (first as usize + 1).min(from - 1);
            (first as usize, second, (centre - first).max(0.0))
        })
        .collect();
    let mixed = |a: f32, b: f32, share: f32| (a + (b - a) * share + 0.5).floor();
    let mut enlarged = Vec::new();
    for image in images.chunks_exact(from * from * channels) {
        let mut wide = Vec::with_capacity(from * to * channels);
        for row in image.chunks_exact(from * channels) {
            for &(a, b, share) in &taps {
                wide.extend(
                    (0..channels)
                        .map(|c| mixed(row[a * channels + c], row[b * channels + c], share)),
                );
            }
        }
        let row = |y: usize| &wide[y * to * channels..][..to * channels];
        for &(a, b, share) in &taps {
            enlarged.extend(row(a).iter().zip(row(b)).map(|(&a, &b)| mixed(a, b, share)));
        }
    }
    enlarged
}

/// Uniform noise in `range`.
fn noise(model: &str, range: [f32; 2]) -> Result<Option<Network>> {
    let Some(float) = load(model)? else {
        return Ok(None);
    };
    let mut recipe = Recipe::default();
    recipe.input.range = Some(range);
    let layout = InputLayout::of(&float)?;
    let [min, max] = range;
    let samples = |seed| Dataset::uniform(&layout, Range { min, max }, 256, seed);
    Ok(Some(Network {
        calibration: samples(1),
        evaluation: samples(2),
        float,
        recipe,
    }))
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
        targets: None,
    }
}
