//! The model that this firmware was built with.
//!
//! `build.rs` writes the constants from the blob in `FEWBIT_BLOB`, with room for the models that slots may contain.

include!(concat!(env!("OUT_DIR"), "/models.rs"));
#[cfg(feature = "slots")]
include!(concat!(env!("OUT_DIR"), "/slots.rs"));
#[cfg(feature = "mlperf")]
include!(concat!(env!("OUT_DIR"), "/mlperf.rs"));

pub use own::{BLOB, INPUT_BYTES};
