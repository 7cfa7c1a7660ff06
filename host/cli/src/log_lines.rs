//! Reports of libraries about long work, on standard error.

use log::{LevelFilter, Log, Metadata, Record};

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("fewbit")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            crate::note(&record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Prints each log message of this project's libraries as a line on standard error; for programs, at their start.
pub fn show_log() {
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}
