//! Cross-crate test support.

pub mod models;
