//! Choices of a compilation.

use crate::dataset::InputTransform;
use crate::recipe::Recipe;
use fewbit_runtime::format::family::Family;

/// Choices of a compilation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// The kernel family that the weights are ordered for.
    pub packing: Family,
    /// How stored samples become the network's inputs, for the blob's metadata; it changes nothing that the device computes.
    pub input: InputTransform,
}

impl From<&Recipe> for Options {
    fn from(recipe: &Recipe) -> Options {
        Options {
            packing: recipe.target.packing(),
            input: recipe.input.clone(),
        }
    }
}
