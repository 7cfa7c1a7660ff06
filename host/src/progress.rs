//! How far a run is, told to whoever wants to show it.

/// Told how far a run is.
pub trait Progress {
    /// A stage begins that will take `steps`.
    fn begin(&mut self, stage: &str, steps: usize);
    /// So many more steps are done.
    fn advance(&mut self, steps: usize);
    /// What the run is at, in a few words; shown beside the stage.
    fn note(&mut self, _text: &str) {}
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: usize) {}
    fn advance(&mut self, _: usize) {}
}
