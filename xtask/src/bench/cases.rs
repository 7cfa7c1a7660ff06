//! The rows of the accuracy benchmark: which networks, quantized how.

use fewbit::recipe::Equalize;
use fewbit::recipe::{AdaRoundOptions, RoundingMethod};
use fewbit::recipe::{BiasCorrection, Granularity, Recipe, WeightBits};

use fewbit_tests::networks::Net;

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// The network.
    pub(super) net: Net,
    /// Difference from the default recipe, for readers.
    pub(super) name: &'static str,
    /// Storage type of the weights.
    pub(super) bits: WeightBits,
    /// Their scales.
    pub(super) granularity: Granularity,
    /// Changes the default recipe.
    pub(super) change: fn(&mut Recipe),
    /// Whether it is quantized without samples.
    pub(super) data_free: bool,
    /// Calibration samples, where not all that there are.
    pub(super) samples: Option<usize>,
    /// Figures that the project requires at least.
    pub(super) wanted_db: Option<f64>,
    /// Accuracy that it may lose, in percentage points.
    pub(super) most_loss: Option<f64>,
    /// Whether it belongs to the short part.
    pub(super) short: bool,
}

const fn case(
    net: Net,
    name: &'static str,
    bits: WeightBits,
    granularity: Granularity,
    change: fn(&mut Recipe),
) -> Case {
    Case {
        net,
        name,
        bits,
        granularity,
        change,
        data_free: false,
        samples: None,
        wanted_db: None,
        most_loss: None,
        short: matches!(net, Net::Digits | Net::BiasShift),
    }
}

const fn wanted(case: Case, db: f64) -> Case {
    Case {
        wanted_db: Some(db),
        ..case
    }
}

/// Loses no more than `points` of accuracy.
const fn within(case: Case, points: f64) -> Case {
    Case {
        most_loss: Some(points),
        ..case
    }
}

const fn calibrated_on(case: Case, samples: usize) -> Case {
    Case {
        samples: Some(samples),
        ..case
    }
}

const fn data_free(case: Case) -> Case {
    Case {
        data_free: true,
        ..case
    }
}

const fn long(case: Case) -> Case {
    Case {
        short: false,
        ..case
    }
}

fn default(_: &mut Recipe) {}

fn nearest(recipe: &mut Recipe) {
    recipe.passes.bias_correction = BiasCorrection::Off;
    recipe.weights.scale_search = false;
    recipe.rounding.method = RoundingMethod::Nearest;
}

fn corrected(recipe: &mut Recipe) {
    nearest(recipe);
    recipe.passes.bias_correction = BiasCorrection::Auto;
}

fn folded_only(recipe: &mut Recipe) {
    nearest(recipe);
    recipe.passes.equalize = Equalize::Off;
    recipe.passes.absorb_high_bias = false;
}

fn analytic(recipe: &mut Recipe) {
    folded_only(recipe);
    recipe.passes.bias_correction = BiasCorrection::Analytic;
}

fn empirical(recipe: &mut Recipe) {
    folded_only(recipe);
    recipe.passes.bias_correction = BiasCorrection::Empirical;
}

fn adaround(recipe: &mut Recipe) {
    recipe.rounding.method = RoundingMethod::Adaround;
    recipe.rounding.iterations = 1000;
}

fn adaround_aimet(recipe: &mut Recipe) {
    nearest(recipe);
    recipe.passes.equalize = Equalize::AimetCompatible;
    recipe.rounding = AdaRoundOptions {
        iterations: 1000,
        ..AdaRoundOptions::aimet()
    };
}

use Granularity::{PerChannel, PerTensor};
use WeightBits::{Int4, Int8};

/// All rows, in the order of the table.
pub(super) const CASES: &[Case] = &[
    case(Net::Digits, "folded only", Int8, PerTensor, folded_only),
    // Without correction the means of errors decide, which no scale controls.
    case(Net::Digits, "equalized", Int8, PerTensor, nearest),
    wanted(
        case(
            Net::Digits,
            "equalized, corrected",
            Int8,
            PerTensor,
            corrected,
        ),
        36.5,
    ),
    wanted(case(Net::Digits, "default", Int8, PerTensor, default), 36.3),
    wanted(
        case(Net::Digits, "default", Int8, PerChannel, default),
        36.5,
    ),
    case(Net::Digits, "equalized", Int4, PerChannel, nearest),
    wanted(
        case(Net::Digits, "default", Int4, PerChannel, default),
        29.5,
    ),
    wanted(case(Net::Digits, "default", Int4, PerTensor, default), 27.3),
    wanted(
        case(
            Net::Digits,
            "adaround, 1000 iterations",
            Int4,
            PerChannel,
            adaround,
        ),
        27.1,
    ),
    long(case(
        Net::Digits,
        "adaround as AIMET's, 1000 iterations",
        Int4,
        PerChannel,
        adaround_aimet,
    )),
    wanted(
        data_free(case(Net::Digits, "data-free", Int8, PerTensor, default)),
        28.0,
    ),
    case(
        Net::BiasShift,
        "no correction",
        Int8,
        PerTensor,
        folded_only,
    ),
    case(
        Net::BiasShift,
        "analytic correction",
        Int8,
        PerTensor,
        analytic,
    ),
    case(
        Net::BiasShift,
        "empirical correction",
        Int8,
        PerTensor,
        empirical,
    ),
    case(Net::BiasShift, "default", Int8, PerTensor, default),
    wanted(
        case(Net::Resnet8, "default", Int8, PerChannel, default),
        30.5,
    ),
    case(Net::Resnet8, "nearest", Int4, PerChannel, nearest),
    wanted(
        case(Net::Resnet8, "default", Int4, PerChannel, default),
        20.0,
    ),
    wanted(case(Net::Kws, "default", Int8, PerChannel, default), 33.0),
    case(Net::Kws, "nearest", Int4, PerChannel, nearest),
    wanted(case(Net::Kws, "default", Int4, PerChannel, default), 22.0),
    case(Net::Vww, "default", Int8, PerChannel, default),
    data_free(case(Net::Vww, "data-free", Int8, PerChannel, default)),
    case(Net::Ad, "default", Int8, PerChannel, default),
    data_free(case(Net::Ad, "data-free", Int8, PerChannel, default)),
    case(Net::MobilenetV1, "default", Int8, PerTensor, default),
    case(Net::MobilenetV1, "default", Int8, PerChannel, default),
    case(Net::MobilenetV1, "nearest", Int4, PerChannel, nearest),
    case(Net::MobilenetV1, "default", Int4, PerChannel, default),
    case(Net::EfficientnetLite0, "default", Int8, PerTensor, default),
    case(Net::EfficientnetLite0, "default", Int8, PerChannel, default),
    case(Net::EfficientnetLite0, "nearest", Int4, PerChannel, nearest),
    case(Net::EfficientnetLite0, "default", Int4, PerChannel, default),
    data_free(case(
        Net::EfficientnetLite0,
        "data-free",
        Int8,
        PerTensor,
        default,
    )),
    within(
        wanted(
            data_free(case(
                Net::MobilenetV2,
                "data-free",
                Int8,
                PerTensor,
                default,
            )),
            10.0,
        ),
        1.0,
    ),
    within(
        wanted(
            data_free(case(
                Net::MobilenetV2,
                "data-free",
                Int8,
                PerChannel,
                default,
            )),
            14.5,
        ),
        0.8,
    ),
    within(
        wanted(
            calibrated_on(
                case(Net::MobilenetV2, "125 samples", Int8, PerTensor, default),
                125,
            ),
            12.5,
        ),
        0.5,
    ),
    wanted(
        calibrated_on(
            case(Net::MobilenetV2, "125 samples", Int8, PerChannel, default),
            125,
        ),
        17.0,
    ),
    within(
        wanted(
            case(Net::MobilenetV2, "500 samples", Int4, PerChannel, default),
            7.5,
        ),
        2.5,
    ),
    data_free(case(
        Net::MobilenetV2,
        "data-free",
        Int4,
        PerChannel,
        default,
    )),
    within(
        data_free(case(Net::DeepResnet, "data-free", Int8, PerTensor, default)),
        1.0,
    ),
    case(Net::DeepResnet, "default", Int8, PerChannel, default),
    case(Net::DeepResnet, "default", Int4, PerChannel, default),
    data_free(case(
        Net::MobilenetV3Like,
        "data-free",
        Int8,
        PerTensor,
        default,
    )),
    case(Net::MobilenetV3Like, "default", Int8, PerTensor, default),
    case(Net::MobilenetV3Like, "default", Int8, PerChannel, default),
    case(Net::MobilenetV3Like, "default", Int4, PerChannel, default),
];
