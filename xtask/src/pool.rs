//! Runs programs side by side, longest first, each one's output in one piece.
//!
//! They stay in the caller's process group, so that Ctrl-C on a terminal ends them too, and are ended with the caller's
//! own error.

use std::{
    fs,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

use crate::bench::usage::Usage;

/// Interval at which running jobs are checked.
const POLL: Duration = Duration::from_millis(20);

/// Folder for which jobs would wait, because cargo locks it during builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Nothing that takes long.
    None,
    /// Builds of this machine's programs: one job at a time.
    Host,
    /// Builds of firmware: two at a time, as one can emulate while the other builds.
    Boards,
}

impl Lock {
    /// Number of jobs of this kind that run at a time.
    fn room(self) -> usize {
        match self {
            Self::None => usize::MAX,
            Self::Host => 1,
            Self::Boards => 2,
        }
    }
}

/// A program to run.
#[derive(Debug)]
pub(crate) struct Job {
    /// For people.
    pub name: String,
    /// The program; its input and output are set here.
    pub command: Command,
    /// Approximate seconds on an idle machine; the longest start first.
    pub seconds: u32,
    /// Lock of its build.
    pub lock: Lock,
}

/// Result of a job.
pub(crate) struct Ended {
    /// Its name.
    pub name: String,
    /// All that it wrote, on standard output and standard error, in the order in which it wrote it.
    pub output: String,
    /// Exit status; an error if it could not be started or was stopped.
    pub status: Result<ExitStatus>,
    /// From start to end.
    pub time: Duration,
    /// CPU seconds of it and of all that it waited for, where the system counts them.
    pub cpu_seconds: Option<f64>,
}

/// A job under way; ended when dropped.
struct Running {
    name: String,
    lock: Lock,
    child: Child,
    output: tempfile::NamedTempFile,
    start: Instant,
}

impl Running {
    fn start(mut job: Job) -> Result<Self> {
        let output = tempfile::NamedTempFile::new().context("no file for output")?;
        let handle = || output.as_file().try_clone().context("no file for output");
        let child = job
            .command
            .stdin(Stdio::null())
            .stdout(handle()?)
            .stderr(handle()?)
            .spawn()
            .with_context(|| format!("cannot start {}", job.command.get_program().display()))?;
        Ok(Self {
            name: job.name,
            lock: job.lock,
            child,
            output,
            start: Instant::now(),
        })
    }

    /// Its end, if it has ended or run for `limit`.
    fn ended(&mut self, limit: Duration) -> Option<Ended> {
        let before = Usage::of_children();
        let status = match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) if self.start.elapsed() < limit => return None,
            Ok(None) => {
                self.stop();
                Err(anyhow!("no end after {} s, stopped", limit.as_secs()))
            }
            Err(error) => Err(anyhow!(error).context("cannot wait for it")),
        };
        let output = fs::read(self.output.path()).unwrap_or_default();
        Some(Ended {
            name: self.name.clone(),
            output: String::from_utf8_lossy(&output).into_owned(),
            status,
            time: self.start.elapsed(),
            // Those of one more child.
            cpu_seconds: Usage::of_children()
                .zip(before)
                .map(|(after, before)| after.cpu_seconds - before.cpu_seconds),
        })
    }

    fn stop(&mut self) {
        // It may have ended by itself; either way it is gone after `wait`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs all jobs, at most `width` at a time and each for at most `limit`, and calls `ended` with each that ended.
///
/// # Errors
///
/// That of `ended`; what still runs is stopped then.
pub(crate) fn run(
    mut jobs: Vec<Job>,
    width: usize,
    limit: Duration,
    mut ended: impl FnMut(Ended) -> Result<()>,
) -> Result<()> {
    // Stable: of equal ones the first starts first.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.seconds));
    let mut running: Vec<Running> = Vec::new();
    while !(jobs.is_empty() && running.is_empty()) {
        while running.len() < width.max(1)
            && let Some(next) = next(&jobs, &running)
        {
            let job = jobs.remove(next);
            let name = job.name.clone();
            match Running::start(job) {
                Ok(started) => running.push(started),
                Err(error) => ended(Ended {
                    name,
                    output: String::new(),
                    status: Err(error),
                    time: Duration::ZERO,
                    cpu_seconds: None,
                })?,
            }
        }
        let mut index = 0;
        while let Some(job) = running.get_mut(index) {
            match job.ended(limit) {
                Some(end) => {
                    running.remove(index);
                    ended(end)?;
                }
                None => index += 1,
            }
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// The first job whose lock has room beside what runs.
fn next(jobs: &[Job], running: &[Running]) -> Option<usize> {
    jobs.iter().position(|job| {
        let same = running.iter().filter(|other| other.lock == job.lock);
        same.count() < job.lock.room()
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn shell(name: &str, seconds: u32, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job {
            name: name.to_owned(),
            command,
            seconds,
            lock: Lock::None,
        }
    }

    fn all(jobs: Vec<Job>, width: usize, limit: Duration) -> Vec<Ended> {
        let mut found = Vec::new();
        run(jobs, width, limit, |ended| {
            found.push(ended);
            Ok(())
        })
        .expect("no error of ours");
        found
    }

    #[test]
    fn the_longest_start_first() {
        let jobs = [("b", 2), ("c", 3), ("a", 1), ("d", 3)];
        let jobs = jobs.map(|(name, seconds)| shell(name, seconds, "true"));
        let ended = all(jobs.into(), 1, LIMIT);
        let names: Vec<&str> = ended.iter().map(|job| &*job.name).collect();
        assert_eq!(names, ["c", "d", "b", "a"]);
    }

    #[test]
    fn what_is_written_stays_together_and_in_order() {
        let script = |word| {
            format!("for i in 1 2 3; do echo {word}; echo err >&2; sleep 0.02; done; exit 3")
        };
        let ended = all(
            vec![shell("x", 0, &script("x")), shell("y", 0, &script("y"))],
            2,
            LIMIT,
        );
        assert_eq!(ended.len(), 2);
        for job in ended {
            assert_eq!(job.output, format!("{}\nerr\n", job.name).repeat(3));
            assert_eq!(job.status.expect("ended").code(), Some(3));
        }
    }

    #[test]
    fn two_run_at_the_same_time() {
        // Each waits for the other's file.
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let script = |own: &str, other: &str| {
            format!(
                "touch '{}'; until [ -e '{}' ]; do sleep 0.01; done",
                at(own),
                at(other)
            )
        };
        let jobs = vec![
            shell("x", 0, &script("x", "y")),
            shell("y", 0, &script("y", "x")),
        ];
        let ended = all(jobs, 2, LIMIT);
        assert!(
            ended
                .iter()
                .all(|job| job.status.as_ref().is_ok_and(ExitStatus::success))
        );
    }

    #[test]
    fn of_one_lock_no_more_run_than_it_has_room_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = folder.path().join("lock").display().to_string();
        // A folder can be made once.
        let script = format!("mkdir '{lock}' && sleep 0.1 && rmdir '{lock}'");
        let jobs = ["x", "y", "z"].map(|name| Job {
            lock: Lock::Host,
            ..shell(name, 0, &script)
        });
        let ended = all(jobs.into(), 3, LIMIT);
        assert_eq!(ended.len(), 3);
        for job in ended {
            assert!(job.status.expect("ended").success(), "{}", job.output);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_time_is_that_of_the_job() {
        let spin = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let ended = all(
            vec![shell("spins", 1, spin), shell("waits", 0, "sleep 0.1")],
            2,
            LIMIT,
        );
        let of = |name: &str| {
            let job = ended.iter().find(|job| job.name == name).expect("ended");
            job.cpu_seconds.expect("is counted")
        };
        assert!(
            of("spins") > 2.0 * of("waits"),
            "{} {}",
            of("spins"),
            of("waits")
        );
    }

    #[test]
    fn one_without_end_is_stopped_and_told_by_name() {
        let jobs = vec![
            shell("endless", 1, "echo begun; exec sleep 1000"),
            shell("short", 0, "true"),
        ];
        let ended = all(jobs, 2, Duration::from_secs(1));
        let endless = ended.iter().find(|job| job.name == "endless");
        let endless = endless.expect("is told of");
        assert_eq!(endless.output, "begun\n");
        let error = endless.status.as_ref().expect_err("was stopped");
        assert!(error.to_string().contains("no end after 1 s"), "{error}");
        assert_eq!(ended.len(), 2);
    }

    #[test]
    fn what_cannot_be_started_is_told_and_an_error_ends_the_others() {
        let missing = Job {
            command: Command::new("/no/such/program"),
            ..shell("missing", 1, "")
        };
        let start = Instant::now();
        let jobs = vec![shell("endless", 2, "exec sleep 1000"), missing];
        let error = run(jobs, 2, LIMIT, |ended| {
            assert_eq!(ended.name, "missing");
            ended.status.map(|_| ())
        })
        .expect_err("ours");
        assert!(
            format!("{error:#}").contains("/no/such/program"),
            "{error:#}"
        );
        assert!(start.elapsed() < LIMIT);
    }
}
