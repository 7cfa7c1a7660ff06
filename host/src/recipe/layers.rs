//! The choices for one layer, overrides applied.

use super::{LayerOptions, LayerOverride, Recipe};
use crate::graph::Graph;

impl Recipe {
    /// The choices for the layer called `name`.
    pub fn layer(&self, name: &str) -> LayerOptions {
        let mut options = LayerOptions {
            weights: self.weights,
            rounding: self.rounding.method,
            correct_bias: true,
        };
        for other in self
            .overrides
            .iter()
            .filter(|other| matches(&other.layers, name))
        {
            let weights = &mut options.weights;
            weights.bits = other.bits.unwrap_or(weights.bits);
            weights.granularity = other.granularity.unwrap_or(weights.granularity);
            weights.range = other.range.unwrap_or(weights.range);
            weights.scale_search = other.scale_search.unwrap_or(weights.scale_search);
            options.rounding = other.rounding.unwrap_or(options.rounding);
            options.correct_bias = other.bias_correction.unwrap_or(options.correct_bias);
        }
        options
    }

    /// The first override that no layer of `graph` matches, which is a slip of the pen.
    pub fn idle_override(&self, graph: &Graph) -> Option<&LayerOverride> {
        let used = |other: &&LayerOverride| {
            graph
                .nodes
                .iter()
                .any(|node| node.op.linear().is_some() && matches(&other.layers, &node.name))
        };
        self.overrides.iter().find(|other| !used(other))
    }
}

/// Whether `pattern`, in which `*` stands for any characters, describes the whole of `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The leftmost place leaves the most for the parts behind it.
        let Some(place) = name.find(part) else {
            return false;
        };
        name = &name[place + part.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Granularity, WeightBits};

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("conv", "conv", true),
            ("conv", "conv1", false),
            ("conv*", "conv", true),
            ("*", "", true),
            ("*.fc", "head.fc", true),
            ("*.fc", "head.fc2", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*b", "ab", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn later_overrides_win() {
        let recipe = Recipe::from_toml(
            "[weights]\nbits = \"int4\"\n[[overrides]]\nlayers = \"*\"\ngranularity = \"per-tensor\"\n\
             [[overrides]]\nlayers = \"first\"\nbits = \"int8\"\nbias-correction = false\n",
        )
        .expect("parses");
        let [first, other] = ["first", "other"].map(|name| recipe.layer(name));
        assert_eq!(first.weights.bits, WeightBits::Int8);
        assert_eq!(first.weights.granularity, Granularity::PerTensor);
        assert!(!first.correct_bias);
        assert_eq!(other.weights.bits, WeightBits::Int4);
        assert!(other.correct_bias);
    }
}
