//! Text that a user writes: recipes, and names of data sets in their comments.

use crate::bytes::{mutate_text, pick};
use crate::{Outcome, Target, shape_of_message};
use fastrand::Rng;
use fewbit::dataset::{DatasetSpec, InputLayout};
use fewbit::recipe::{LayerOverride, Recipe, Target as Packed};
use std::str::FromStr as _;

/// The target.
pub const TARGET: Target = Target {
    name: "recipe",
    about: "recipes, and names of data sets",
    run,
    corpus,
    mutate,
    mend: |_| {},
    simpler,
    refusals: Vec::new,
};

/// Parses text as a recipe, and the comments in it as names of data sets.
///
/// # Panics
/// If something does not hold that should.
pub fn run(bytes: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Outcome::refused("no text", Vec::new());
    };
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('#') {
            data_set(name.trim());
        }
    }
    let recipe = match Recipe::from_toml(text) {
        Ok(recipe) => recipe,
        Err(error) => {
            // The first line is a place, then come the text's own lines, then the reason.
            let text = error.message().to_owned();
            assert!(!error.to_string().is_empty());
            return Outcome::refused(shape_of_message(&text), Vec::new());
        }
    };
    let written = recipe.to_toml().expect("a recipe can be written");
    let again = Recipe::from_toml(&written).expect("what was written can be read");
    // By the text, as what is no number is not equal to itself.
    assert_eq!(again.to_toml().expect("a recipe can be written"), written);
    let options = recipe.layer("conv1");
    assert_eq!(
        format!("{options:?}"),
        format!("{:?}", again.layer("conv1"))
    );
    let problem = recipe.input.problem(&InputLayout::pixels(3));
    let sound = problem.is_none();
    if sound {
        let range = recipe.input.real_range();
        assert!(range.is_none_or(|r| r.min <= r.max), "{range:?}");
    }
    let kinds = [
        ("sound input", sound),
        ("overrides", !recipe.overrides.is_empty()),
        ("target", !recipe.target.is_any()),
    ];
    let kinds: Vec<_> = kinds.into_iter().filter(|(_, met)| *met).collect();
    let kinds = kinds.into_iter().map(|(name, _)| name).collect();
    Outcome::accepted(kinds, u64::from(options.weights.bits.bits()))
}

/// A name of a data set chooses samples that are there.
fn data_set(name: &str) {
    match DatasetSpec::from_str(name) {
        Err(error) => assert!(error.to_string().contains("data set")),
        Ok(spec) => {
            for count in [0, 1, 10] {
                let chosen = spec.samples.map(|slice| slice.indices(count));
                let chosen = chosen.unwrap_or_default();
                assert!(chosen.iter().all(|&index| index < count));
                assert!(chosen.is_sorted() && chosen.len() <= count);
            }
        }
    }
}

/// The default recipe and a few others, with names of data sets.
pub fn corpus() -> Vec<Vec<u8>> {
    let names = "# digits.npz:x_train,y_train[0:512]\n# data.npz[!::4]\n# a.npy[-3:-1]\n";
    let mut layers = Recipe::default();
    for layers_of in ["conv*", "fc1"] {
        layers.overrides.push(LayerOverride {
            layers: layers_of.to_owned(),
            bits: Some(fewbit::recipe::WeightBits::Int4),
            granularity: Some(fewbit::recipe::Granularity::PerTensor),
            range: None,
            scale_search: Some(false),
            rounding: None,
            bias_correction: Some(true),
        });
    }
    let mut packed = Recipe {
        target: Packed::from(fewbit_runtime::format::family::Family::Dsp),
        ..Recipe::default()
    };
    packed.input.mean = vec![0.1, 0.2, 0.3];
    packed.input.range = Some([0.0, 1.0]);
    let recipes = [Recipe::default(), layers, packed];
    let texts = recipes.iter().filter_map(|recipe| recipe.to_toml().ok());
    let mut corpus: Vec<Vec<u8>> = texts
        .map(|text| format!("{names}{text}").into_bytes())
        .collect();
    corpus.push(include_bytes!("../../host/models/digits/recipe.toml").to_vec());
    corpus
}

fn mutate(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let mut recipe = text(pick(rng, corpus));
    let other = text(pick(rng, corpus));
    mutate_text(rng, &mut recipe, &other);
    let mut bytes = recipe.into_bytes();
    bytes.truncate(1 << 14);
    bytes
}

/// Text with one line less.
fn simpler(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Vec::new();
    };
    let lines: Vec<&str> = text.lines().collect();
    (0..lines.len())
        .map(|at| {
            [&lines[..at], &lines[at + 1..]]
                .concat()
                .join("\n")
                .into_bytes()
        })
        .collect()
}
