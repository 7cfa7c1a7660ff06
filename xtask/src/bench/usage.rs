//! What this process has used up so far.

/// CPU time and memory of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// CPU time of all threads.
    pub(super) cpu_seconds: f64,
    /// Largest resident set so far, in MB of 10^6 bytes.
    pub(super) peak_rss_mb: f64,
}

impl Usage {
    /// As the system counts it; `None` where it does not.
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Option<Usage> {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let microseconds =
            usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Some(Usage {
            cpu_seconds: microseconds as f64 * 1e-6,
            // Linux counts in KiB.
            peak_rss_mb: usage.max_rss() as f64 * 1024.0 * 1e-6,
        })
    }

    /// As the system counts it; `None` where it does not.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn now() -> Option<Usage> {
        None
    }
}
