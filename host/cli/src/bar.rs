//! Progress bars, on a terminal only.

use fewbit::progress::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Progress bar on standard error if that is a terminal; it disappears when its stage ends.
#[derive(Debug, Default)]
pub struct Bar(Option<ProgressBar>);

impl Progress for Bar {
    fn begin(&mut self, stage: &str, steps: usize) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
        let bar = ProgressBar::new(steps as u64).with_message(stage.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("{msg:>12} {wide_bar} {pos}/{len} {eta} {prefix}")
        {
            bar.set_style(style);
        }
        self.0 = Some(bar);
    }

    fn advance(&mut self, steps: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(steps as u64);
        }
    }

    fn note(&mut self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_prefix(text.to_owned());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
