//! stub
use serde::{Deserialize, Serialize};
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RoundingMethod { #[default] Nearest, Adaround, AdaroundBatch, Descent }
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AdaRoundOptions { pub method: RoundingMethod, pub iterations: usize }
impl AdaRoundOptions { pub fn aimet() -> Self { Self::default() } }
