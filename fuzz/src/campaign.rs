//! The loop of mutations, for a time.
//!
//! An input whose outcome is of a new kind joins those that are mutated, which leads a campaign on without any instrumentation. The same seed gives the
//! same inputs in the same order.

use crate::{Target, bytes, crashes, minimize::minimize};
use fastrand::Rng;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Seek as _, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

/// Settings of a campaign.
#[derive(Clone, Debug)]
pub struct Options {
    /// Duration.
    pub time: Duration,
    /// Seed of the mutations.
    pub seed: u64,
    /// Folder of inputs that fail.
    pub crashes: PathBuf,
    /// File of the current input, for a supervisor of this process; none if `None`.
    pub current: Option<PathBuf>,
    /// File of the slowest input; none if `None`.
    pub slowest: Option<PathBuf>,
}

/// Result of a campaign.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Figures {
    /// The target's name.
    pub target: String,
    /// Inputs that ran.
    pub executions: u64,
    /// Duration.
    pub seconds: f64,
    /// Inputs that were accepted.
    pub accepted: u64,
    /// Reasons to refuse that were met.
    pub refusals_reached: usize,
    /// Reasons that there are; `None` if nothing lists them.
    pub refusals_all: Option<usize>,
    /// Files of inputs that failed.
    pub crashes: Vec<PathBuf>,
    /// Seconds of the slowest input.
    pub slowest: f64,
    /// Inputs at the beginning.
    pub corpus: usize,
    /// Inputs at the end.
    pub kept: usize,
    /// Number of times that each reason occurred.
    pub refusals: BTreeMap<String, u64>,
    /// Number of times that each reason occurred when the same bytes were read in another way, as by a build with fewer kernels.
    pub elsewhere: BTreeMap<String, u64>,
    /// Kinds of outcomes: reasons and acceptances, by operator, axis and similar details.
    pub kinds: usize,
    /// Reasons that were not met.
    pub never: Vec<String>,
    /// Number of times that each operator, or other part of inputs, was in an accepted input, and was the reason of a refusal.
    pub subjects: BTreeMap<String, [u64; 2]>,
}

/// More inputs than this are not kept for further mutations.
const MOST_KEPT: usize = 20_000;

/// More failures than this are not looked for.
const MOST_CRASHES: usize = 12;

/// Number of attempts to make an input that fails smaller.
const ATTEMPTS: usize = 4000;

/// An input that takes longer than this has no end.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Exit code of a process whose input does not end.
pub const NO_END: u8 = 75;

thread_local! {
    /// The message of the last panic, while panics are caught.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

/// Keeps panics that are caught off the terminal.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.with_borrow(|catching| *catching) {
                PANIC.set(Some(info.to_string()));
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs one input.
///
/// # Errors
/// Place and message of a failure.
pub fn attempt(target: &Target, input: &[u8]) -> Result<crate::Outcome, String> {
    caught(|| (target.run)(input))
}

/// Result of a function, or the message of its panic.
fn caught<T>(function: impl FnOnce() -> T) -> Result<T, String> {
    quiet();
    CATCHING.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(function));
    CATCHING.set(false);
    result.map_err(|_| {
        let message = PANIC.take();
        message.unwrap_or_else(|| "a panic in another thread".to_owned())
    })
}

/// Common part of failures that have the same reason.
fn signature(failure: &str) -> String {
    crate::shape_of_message(
        failure
            .lines()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
    )
}

/// Smaller forms of an input that fail with the same signature.
fn smallest(target: &Target, input: &[u8], failure: &str) -> Vec<u8> {
    let expected = signature(failure);
    let same =
        |input: &[u8]| attempt(target, input).is_err_and(|failure| signature(&failure) == expected);
    let mut input = input.to_vec();
    let mut left = ATTEMPTS;
    'simpler: loop {
        for candidate in (target.simpler)(&input) {
            if left == 0 {
                break 'simpler;
            }
            left -= 1;
            let smaller = candidate.len() < input.len()
                || candidate.len() == input.len() && weight(&candidate) < weight(&input);
            if smaller && same(&candidate) {
                input = candidate;
                continue 'simpler;
            }
        }
        break;
    }
    let mended = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        (target.mend)(&mut bytes);
        bytes
    };
    let found = minimize(&input, ATTEMPTS, |candidate| same(&mended(candidate)));
    let found = mended(&found);
    if same(&found) { found } else { input }
}

/// Bytes that are not 0.
fn weight(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte != 0).count()
}

/// Ends the process when an input has no end.
struct Watch {
    start: Instant,
    /// Milliseconds after the start at which the input at hand began; 0 between inputs.
    since: Arc<AtomicU64>,
}

impl Watch {
    fn new(enabled: bool) -> Self {
        let watch = Watch {
            start: Instant::now(),
            since: Arc::default(),
        };
        let (start, since) = (watch.start, Arc::clone(&watch.since));
        if enabled {
            thread::spawn(move || {
                loop {
                    thread::sleep(Duration::from_millis(500));
                    let began = since.load(Ordering::Relaxed);
                    let now = start.elapsed().as_millis() as u64;
                    if began > 0 && now.saturating_sub(began) > LIMIT.as_millis() as u64 {
                        std::process::exit(NO_END.into());
                    }
                }
            });
        }
        watch
    }

    fn begin(&self) {
        let now = self.start.elapsed().as_millis() as u64;
        self.since.store(now.max(1), Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }
}

/// Runs a campaign; `crash` hears of each new failure, with its file and message.
///
/// # Errors
/// If a file cannot be read or written.
pub fn run(
    target: &Target,
    options: &Options,
    mut crash: impl FnMut(&std::path::Path, &str),
) -> io::Result<Figures> {
    let mut corpus = (target.corpus)();
    for file in crashes::files(&options.crashes, target)? {
        corpus.push(std::fs::read(file)?);
    }
    let mut figures = Figures {
        target: target.name.to_owned(),
        corpus: corpus.len(),
        ..Figures::default()
    };
    let mut current = match &options.current {
        Some(path) => Some(File::create(path)?),
        None => None,
    };
    let watch = Watch::new(current.is_some());
    let mut rng = Rng::with_seed(options.seed);
    // Those of them that were accepted, from which more leads on than from others.
    let mut accepted: Vec<Vec<u8>> = Vec::new();
    let (mut seen, mut failures) = (HashSet::new(), HashSet::new());
    let start = Instant::now();
    let mut first = 0;
    while start.elapsed() < options.time && failures.len() < MOST_CRASHES {
        let input = match corpus.get(first).filter(|_| first < figures.corpus) {
            Some(input) => input.clone(),
            None => {
                let from = if !accepted.is_empty() && bytes::chance(&mut rng, 60) {
                    &accepted
                } else {
                    &corpus
                };
                caught(|| (target.mutate)(&mut rng, from))
                    .map_err(|panic| io::Error::other(format!("the mutation failed: {panic}")))?
            }
        };
        let is_new = first >= figures.corpus;
        first += 1;
        if let Some(current) = &mut current {
            current.rewind()?;
            let length = (input.len() as u64).to_le_bytes();
            current.write_all(&[&length, &input[..]].concat())?;
        }
        let began = Instant::now();
        watch.begin();
        let outcome = attempt(target, &input);
        watch.end();
        let seconds = began.elapsed().as_secs_f64();
        if seconds > figures.slowest {
            figures.slowest = seconds;
            if let Some(path) = &options.slowest {
                std::fs::write(path, &input)?;
            }
        }
        figures.executions += 1;
        match outcome {
            Err(failure) => {
                if failures.insert(signature(&failure)) {
                    let smallest = smallest(target, &input, &failure);
                    let path = crashes::save(&options.crashes, target, &smallest)?;
                    crash(&path, &failure);
                    figures.crashes.push(path);
                }
            }
            Ok(outcome) => {
                let mut hasher = DefaultHasher::new();
                (&outcome.refusal, outcome.detail).hash(&mut hasher);
                let is_accepted = outcome.refusal.is_none();
                if !is_accepted {
                    outcome.subjects.hash(&mut hasher);
                }
                let kept = seen.insert(hasher.finish()) && corpus.len() < MOST_KEPT;
                if is_accepted && (kept || !is_new) {
                    accepted.push(input.clone());
                }
                if kept && is_new {
                    corpus.push(input);
                }
                for reason in outcome.also {
                    *figures.elsewhere.entry(reason.to_owned()).or_default() += 1;
                }
                let mut subjects = outcome.subjects;
                subjects.sort_unstable();
                subjects.dedup();
                for subject in subjects {
                    let counts = figures.subjects.entry(subject.to_owned()).or_default();
                    counts[usize::from(!is_accepted)] += 1;
                }
                match outcome.refusal {
                    None => figures.accepted += 1,
                    Some(reason) => *figures.refusals.entry(reason).or_default() += 1,
                }
            }
        }
    }
    figures.seconds = start.elapsed().as_secs_f64();
    figures.kept = corpus.len();
    let all = (target.refusals)();
    figures.kinds = seen.len();
    let reached =
        |name: &str| figures.refusals.contains_key(name) || figures.elsewhere.contains_key(name);
    figures.never = all
        .iter()
        .filter(|name| !reached(name))
        .map(|&name| name.to_owned())
        .collect();
    if all.is_empty() {
        figures.refusals_reached = figures.refusals.len();
    } else {
        figures.refusals_reached = all.len() - figures.never.len();
        figures.refusals_all = Some(all.len());
    }
    Ok(figures)
}

/// The input in the file that [`Options::current`] names.
#[must_use]
pub fn current(file: &[u8]) -> Option<&[u8]> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
}
