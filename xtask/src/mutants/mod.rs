//! `cargo xtask mutants`: whether a test fails for every change of the loader.
//!
//! A mutant is the loader or the arithmetic with one small change: a check left out, another comparison, a number that is one off. It is caught
//! if a unit test of the runtime fails with it. All mutants are built at once, each behind a switch that the environment turns, and
//! each meets only those tests that come to its place: minutes where a build for each would take a day.
//!
//! A mutant that no test can tell from the original stands in `runtime/mutants.toml` with the proof. The command fails when another one
//! is alive, and when an entry of that list names a mutant that is caught or is not there any more.

mod build;
mod points;
mod syntax;
mod table;
mod trial;

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::root;
use points::Mutant;
use trial::{Fate, Suite};

pub(crate) use table::problems;

/// The list of mutants that change nothing.
const LIST: &str = "runtime/mutants.toml";

/// Arguments of `cargo xtask mutants`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only mutants of files with this in their name, as `lifetimes`.
    #[arg(long)]
    file: Option<String>,
    /// Only mutants with this, or any of several, in their description.
    #[arg(long)]
    only: Vec<String>,
    /// Programs that run side by side.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Say of each mutant what came of it.
    #[arg(long)]
    all: bool,
}

/// `runtime/mutants.toml`.
#[derive(Deserialize, Default)]
struct List {
    #[serde(default)]
    equivalent: Vec<Equivalent>,
}

/// A mutant that changes nothing that a test could see.
#[derive(Deserialize)]
struct Equivalent {
    mutants: Vec<String>,
    proof: String,
}

/// Runs all mutants and prints the score.
///
/// # Errors
///
/// If a mutant is alive that is not proven equivalent, or the list of those is stale.
pub fn task(args: &Args) -> Result<()> {
    let start = Instant::now();
    let score = run(args)?;
    score.say(args, start.elapsed())
}

/// Mutants that `cargo xtask ci` runs: those of some files with any of `only` in their description; all if it is empty.
///
/// # Errors
///
/// As [`task`].
pub(crate) fn check(file: Option<&str>, only: &[&str]) -> Result<()> {
    task(&Args {
        file: file.map(str::to_owned),
        only: only.iter().map(|&part| part.to_owned()).collect(),
        jobs: 2,
        all: false,
    })
}

/// Results of all mutants.
struct Score {
    fates: Vec<(Mutant, Fate)>,
    /// Checks that can be removed although tests are named for them.
    unnoticed: Vec<String>,
    unviable: usize,
    proofs: BTreeMap<String, String>,
}

fn run(args: &Args) -> Result<Score> {
    let path = root().join(LIST);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {LIST}"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("cannot parse {LIST}"))?;
    let mut proofs = BTreeMap::new();
    for entry in list.equivalent {
        for mutant in entry.mutants {
            if proofs.insert(mutant.clone(), entry.proof.clone()).is_some() {
                bail!("{LIST} has two entries for {mutant}");
            }
        }
    }
    let chosen = |name: &str| args.file.as_ref().is_none_or(|part| name.contains(part));
    let _lock = build::lock()?;
    let built = build::build(chosen)?;
    let mutants: Vec<Mutant> = built
        .mutants
        .into_iter()
        .filter(|mutant| {
            let only = &args.only;
            only.is_empty() || only.iter().any(|part| mutant.name.contains(part))
        })
        .collect();
    let suite = Suite::record(&built.program)?;
    let unnoticed = unnoticed(&suite, &mutants)?;
    let fates = suite.try_all(mutants, args.jobs)?;
    Ok(Score {
        fates,
        unnoticed,
        unviable: built.unviable,
        proofs,
    })
}

/// Takes each check away before the tests that the format's description names for its error.
fn unnoticed(suite: &Suite, mutants: &[Mutant]) -> Result<Vec<String>> {
    let rows = table::read(root())?;
    let mut unnoticed = Vec::new();
    for mutant in mutants {
        let Some(error) = &mutant.error else { continue };
        let tests = rows.iter().filter(|row| row.error == *error);
        let tests: Vec<String> = tests
            .flat_map(|row| &row.tests)
            .map(|test| format!("{}{test}", table::MODULE))
            .collect();
        if !suite.notices(mutant, &tests)? {
            unnoticed.push(format!("{error}: {} ({})", mutant.name, mutant.place));
        }
    }
    Ok(unnoticed)
}

impl Score {
    fn say(&self, args: &Args, time: Duration) -> Result<()> {
        let (mut caught, mut by_time, mut equivalent) = (0, 0, 0);
        let mut alive = Vec::new();
        let mut stale = Vec::new();
        for (mutant, fate) in &self.fates {
            let proof = self.proofs.get(&mutant.name);
            match fate {
                Fate::Caught { .. } => caught += 1,
                Fate::Timeout { .. } => by_time += 1,
                Fate::Alive { .. } if proof.is_some() => equivalent += 1,
                Fate::Alive { .. } => alive.push(mutant),
            }
            if proof.is_some() && !matches!(fate, Fate::Alive { .. }) {
                stale.push(format!("{} is caught: {fate}", mutant.name));
            }
            if args.all || (matches!(fate, Fate::Alive { .. }) && proof.is_none()) {
                say!("{fate}: {} ({})", mutant.name, mutant.place)?;
            }
        }
        if args.file.is_none() && args.only.is_empty() {
            let there = |name: &String| self.fates.iter().any(|(mutant, _)| mutant.name == *name);
            let gone = self.proofs.keys().filter(|name| !there(name));
            stale.extend(gone.map(|name| format!("{name} is no mutant")));
        }
        for check in &self.unnoticed {
            say!("not noticed by the tests that docs/model-format.md names: {check}")?;
        }
        for entry in &stale {
            say!("stale entry of {LIST}: {entry}")?;
        }
        say!(
            "{} mutants in {:.0} s: {caught} caught, {by_time} by time, {equivalent} equivalent, {} alive; {} points have fewer, as those do not compile",
            self.fates.len(),
            time.as_secs_f64(),
            alive.len(),
            self.unviable
        )?;
        if !alive.is_empty() || !stale.is_empty() || !self.unnoticed.is_empty() {
            bail!(
                "{} mutants are alive, {} entries are stale, {} checks go unnoticed by the tests that are named",
                alive.len(),
                stale.len(),
                self.unnoticed.len()
            );
        }
        Ok(())
    }
}
