//! Processors and families that blobs are packed for.

use fewbit_runtime::format::family::Family;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A processor, by the kernel family that it runs.
///
/// Written as a family or as a processor: `scalar` (every processor runs it), `dsp`, `cortex-m4`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(Family);

/// Processors and their families; the DSP extension of Cortex-M33 is optional, and there in all chips that are sold for it.
const PROCESSORS: [(&str, Family); 12] = [
    ("cortex-m0", Family::Scalar),
    ("cortex-m0plus", Family::Scalar),
    ("cortex-m3", Family::Scalar),
    ("cortex-m4", Family::Dsp),
    ("cortex-m7", Family::Dsp),
    ("cortex-m33", Family::Dsp),
    ("cortex-m55", Family::Mve),
    ("cortex-m85", Family::Mve),
    ("riscv32", Family::Scalar),
    ("scalar", Family::Scalar),
    ("dsp", Family::Dsp),
    ("mve", Family::Mve),
];

impl Target {
    /// The order of weights.
    pub fn packing(self) -> Family {
        self.0
    }

    /// Whether every board runs it.
    pub fn is_any(&self) -> bool {
        self.0 == Family::Scalar
    }
}

impl From<Family> for Target {
    fn from(packing: Family) -> Self {
        Target(packing)
    }
}

/// Error: the name is not that of a processor or a family.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a processor or kernel family that fewbit knows; it knows {names}", names = PROCESSORS.map(|(name, _)| name).join(", "))]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Self, UnknownTarget> {
        let known = PROCESSORS.into_iter().find(|(known, _)| *known == name);
        known
            .map(|(_, packing)| Target(packing))
            .ok_or_else(|| UnknownTarget(name.to_owned()))
    }
}

impl TryFrom<String> for Target {
    type Error = UnknownTarget;

    fn try_from(name: String) -> Result<Self, UnknownTarget> {
        name.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_and_families_are_targets() {
        for (name, packing) in PROCESSORS {
            assert_eq!(name.parse::<Target>().map(Target::packing), Ok(packing));
        }
        let error = "avr".parse::<Target>().expect_err("not known").to_string();
        assert!(
            error.contains("avr") && error.contains("cortex-m4"),
            "{error}"
        );
    }
}
