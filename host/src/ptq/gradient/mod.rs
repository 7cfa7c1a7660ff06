//! Gradients of the network's output by every tensor.
//!
//! A [`Tape`] holds what every tensor was in a run; walked backwards it gives, for a linear function of some tensors, the gradient by every
//! tensor and by every layer's output before its activation. Equalization and the search of ranges weigh errors by it.

mod backward;
mod sensitivity;
mod tape;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use sensitivity::{MeanErrors, Sensitivity, coarse};
