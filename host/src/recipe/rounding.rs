//! Rounding of weights: options of a recipe.

use crate::choice::choices;
use serde::{Deserialize, Serialize};

choices! {
    /// A way of rounding weights.
    pub enum RoundingMethod, Descent by default {
        /// To nearest.
        Nearest = "nearest",
        /// AdaRound by gradient descent on the quadratic loss of all samples at once.
        Adaround = "adaround",
        /// AdaRound on batches of samples, as AIMET does it.
        AdaroundBatch = "adaround-batch",
        /// Nearest plane and single steps on the quadratic loss.
        Descent = "descent",
    }
}

/// Parameters of rounding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AdaRoundOptions {
    /// The method.
    pub method: RoundingMethod,
    /// Steps of gradient descent on each layer (`adaround`, `adaround-batch`).
    pub iterations: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Share of the iterations before the regularizer sets in.
    pub warm_start: f64,
    /// Exponent of the regularizer where it sets in; it falls to `beta_end` along a cosine.
    pub beta_start: f64,
    /// Exponent of the regularizer at the end.
    pub beta_end: f64,
    /// Weight of the regularizer.
    pub regularization: f64,
    /// Upper end of the stretched sigmoid.
    pub zeta: f64,
    /// Lower end of the stretched sigmoid.
    pub gamma: f64,
    /// Samples in a batch (`adaround-batch`).
    pub batch: usize,
    /// Whether the loss is taken behind the layer's activation (`adaround-batch`).
    pub activation_in_loss: bool,
    /// Pull of the quadratic loss towards the float weights, relative to the mean power of an input.
    pub damping: f64,
}

impl Default for AdaRoundOptions {
    fn default() -> Self {
        AdaRoundOptions {
            method: RoundingMethod::Descent,
            iterations: 1000,
            learning_rate: 0.01,
            ..AdaRoundOptions::aimet()
        }
    }
}

impl AdaRoundOptions {
    /// Settings of AIMET: batches, activation in the loss, 10000 iterations.
    pub fn aimet() -> Self {
        AdaRoundOptions {
            method: RoundingMethod::AdaroundBatch,
            iterations: 10_000,
            learning_rate: 1e-3,
            warm_start: 0.2,
            beta_start: 20.0,
            beta_end: 2.0,
            regularization: 0.01,
            zeta: 1.1,
            gamma: -0.1,
            batch: 32,
            activation_in_loss: true,
            damping: 0.1,
        }
    }

    /// Description of the first invalid parameter, if there is one.
    pub fn problem(&self) -> Option<String> {
        let positive = [
            ("learning-rate", self.learning_rate),
            ("beta-start", self.beta_start),
            ("beta-end", self.beta_end),
            ("damping", self.damping),
        ];
        if let Some((name, value)) = positive
            .into_iter()
            .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        {
            return Some(format!("{name} is {value}; it has to be a positive number"));
        }
        if !(0.0..1.0).contains(&self.warm_start) {
            return Some(format!(
                "warm-start is {}; it has to be at least 0 and less than 1",
                self.warm_start
            ));
        }
        if !(self.regularization >= 0.0 && self.regularization.is_finite()) {
            return Some(format!(
                "regularization is {}; it must not be negative",
                self.regularization
            ));
        }
        if !(self.zeta > 1.0 && self.gamma < 0.0 && self.zeta.is_finite() && self.gamma.is_finite())
        {
            return Some("zeta has to be above 1 and gamma below 0".to_owned());
        }
        if self.iterations == 0 || self.batch == 0 {
            return Some("iterations and batch have to be at least 1".to_owned());
        }
        None
    }
}
