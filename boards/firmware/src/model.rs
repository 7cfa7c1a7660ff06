//! The model this firmware was built with.
//!
//! `build.rs` writes the constants from the blob that `FEWBIT_BLOB` named.

use fewbit_runtime::Aligned;

include!(concat!(env!("OUT_DIR"), "/model.rs"));
