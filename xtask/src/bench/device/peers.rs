//! Figures of other runtimes, from `xtask/data/peers.toml`.
//!
//! The file names their versions and how they were counted.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Recorded figures, by core: `m4`, `m7`, `m3`, `m0plus`, `m55`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Peers {
    /// Instructions of CMSIS-NN, by layer.
    pub(super) cmsis_nn: BTreeMap<String, BTreeMap<String, u64>>,
    /// TensorFlow Lite Micro with CMSIS-NN, by model.
    pub(super) tflm: BTreeMap<String, BTreeMap<String, Inference>>,
}

/// A whole model on a peer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inference {
    /// Instructions of one inference.
    pub(super) instructions: u64,
    /// Bytes of arena that it used.
    pub(super) arena: Option<u64>,
    /// Bytes of flash without the model.
    pub(super) flash: Option<u64>,
}

impl Peers {
    /// The recorded figures.
    ///
    /// # Errors
    ///
    /// If the file that was built in is malformed.
    pub(super) fn load() -> Result<Self> {
        toml::from_str(include_str!("../../../data/peers.toml")).context("xtask/data/peers.toml")
    }

    /// The name under which figures of a processor are recorded.
    pub(super) fn core(cpu: &str) -> &str {
        match cpu {
            "cortex-m0" | "cortex-m0plus" => "m0plus",
            "cortex-m33" => "m4",
            _ => cpu.strip_prefix("cortex-").unwrap_or(cpu),
        }
    }

    /// Note if the figures were counted for another core than the processor.
    pub(super) fn note(cpu: &str) -> Option<String> {
        let counted = match Self::core(cpu) {
            "m4" => "cortex-m4",
            "m0plus" => "cortex-m0plus",
            _ => return None,
        };
        (counted != cpu).then(|| {
            format!("CMSIS-NN and TFLM: no figures of {cpu}, those of {counted} are shown\n")
        })
    }

    /// Instructions of CMSIS-NN for a layer.
    pub(super) fn layer(&self, cpu: &str, name: &str) -> Option<u64> {
        self.cmsis_nn.get(Self::core(cpu))?.get(name).copied()
    }

    /// TensorFlow Lite Micro's figures for a model; an int4 model is compared with its int8 one.
    pub(super) fn model(&self, cpu: &str, name: &str) -> Option<Inference> {
        let name = name.split(' ').next().unwrap_or(name);
        self.tflm.get(Self::core(cpu))?.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers::LAYERS;
    use super::*;

    #[test]
    fn every_layer_has_a_peer_on_every_core() {
        let peers = Peers::load().expect("well formed");
        for cpu in [
            "cortex-m0",
            "cortex-m3",
            "cortex-m4",
            "cortex-m7",
            "cortex-m33",
            "cortex-m55",
        ] {
            for layer in LAYERS {
                assert!(
                    peers.layer(cpu, layer.name).is_some(),
                    "{cpu} {}",
                    layer.name
                );
            }
        }
        assert_eq!(
            peers
                .model("cortex-m4", "kws int4")
                .map(|kws| kws.instructions),
            Some(7_844_301)
        );
        assert!(peers.layer("riscv32", "a").is_none());
    }

    #[test]
    fn figures_of_another_core_are_called_so() {
        assert_eq!(Peers::note("cortex-m4"), None);
        assert_eq!(Peers::note("cortex-m55"), None);
        assert_eq!(Peers::note("riscv32"), None);
        let note = Peers::note("cortex-m33").expect("not counted there");
        assert!(note.contains("those of cortex-m4"), "{note}");
    }
}
