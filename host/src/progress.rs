//! Progress of a run, for callers that show it.

/// Receiver of a run's progress.
pub trait Progress {
    /// Called when a stage of `steps` steps begins.
    fn begin(&mut self, stage: &str, steps: usize);
    /// Called when `steps` more steps are done.
    fn advance(&mut self, steps: usize);
    /// Called with a short description of the current work, shown beside the stage.
    fn note(&mut self, _text: &str) {}
}

/// Receiver that shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: usize) {}
    fn advance(&mut self, _: usize) {}
}
