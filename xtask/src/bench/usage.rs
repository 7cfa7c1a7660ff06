//! Resources used so far by this process and its children.

/// CPU time and memory of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Largest resident set so far, in MB of 10^6 bytes.
    pub(crate) peak_rss_mb: f64,
}

impl Usage {
    /// As the system counts it; `None` if it does not.
    #[cfg(target_os = "linux")]
    pub(crate) fn now() -> Option<Usage> {
        Self::of(nix::sys::resource::UsageWho::RUSAGE_SELF)
    }

    /// Sum over all child processes that have been waited for; `None` if the system does not count it.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_children() -> Option<Usage> {
        Self::of(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)
    }

    #[cfg(target_os = "linux")]
    fn of(who: nix::sys::resource::UsageWho) -> Option<Usage> {
        use nix::sys::time::TimeValLike;
        let usage = nix::sys::resource::getrusage(who).ok()?;
        let microseconds =
            usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Some(Usage {
            cpu_seconds: microseconds as f64 * 1e-6,
            // Linux counts in KiB.
            peak_rss_mb: usage.max_rss() as f64 * 1024.0 * 1e-6,
        })
    }

    /// As the system counts it; `None` if it does not.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Option<Usage> {
        None
    }
    /// Sum over all child processes that have been waited for; `None` if the system does not count it.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_children() -> Option<Usage> {
        None
    }
}
