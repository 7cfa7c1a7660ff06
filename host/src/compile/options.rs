//! Options of a compilation.

use crate::dataset::InputTransform;
use crate::recipe::Recipe;
use fewbit_runtime::format::family::Family;

/// Options of a compilation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Kernel family for which the weights are ordered.
    pub packing: Family,
    /// Conversion of stored samples to the network's inputs, for the blob's metadata; it does not change the device's results.
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
