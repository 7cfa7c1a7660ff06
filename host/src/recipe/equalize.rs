//! Cross-layer equalization: the part of a recipe.

use crate::choice::choices;

choices! {
    /// Scaling of channels across layers.
    pub enum Equalize, Full by default {
        /// Not at all.
        Off = "off",
        /// Wherever scaling commutes, for the least rounding noise of weights and activations at the network's result.
        Full = "full",
        /// Only weights, wherever scaling commutes, to convergence.
        Weights = "weights",
        /// AIMET's way: pairs and triples of convolutions with nothing but Relu between them, one pass.
        AimetCompatible = "aimet-compatible",
    }
}
