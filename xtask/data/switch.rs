//! The switch of a build with mutants: which of them is on.
//!
//! `cargo xtask mutants` puts this file into its copy of the crate. `MUTANT` in the environment is the number of the one mutant that is
//! on; with `MUTANTS_REACHED`, the numbers of all that the program comes to are appended to the file of that name.

extern crate std;

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::io::Write as _;

/// Neither read from the environment yet, nor a mutant's number.
const UNKNOWN: u32 = u32::MAX;

/// No mutant is on, and those that are reached are written down.
const RECORDING: u32 = u32::MAX - 1;

static ON: AtomicU32 = AtomicU32::new(UNKNOWN);

static REACHED: [AtomicBool; 1 << 16] = [const { AtomicBool::new(false) }; 1 << 16];

/// Which of the mutants `first..first + count` is on, counted from 1; 0 for none of them.
#[inline]
pub fn choose(first: u32, count: u32) -> u32 {
    let on = ON.load(Ordering::Relaxed);
    if on >= RECORDING {
        return match REACHED.get(first as usize) {
            Some(reached) if on == RECORDING && reached.load(Ordering::Relaxed) => 0,
            _ => slow(first, count),
        };
    }
    let at = on.wrapping_sub(first);
    if at < count { at + 1 } else { 0 }
}

/// Whether a mutant is on.
#[inline]
pub fn on(mutant: u32) -> bool {
    choose(mutant, 1) == 1
}

#[cold]
#[inline(never)]
fn slow(first: u32, count: u32) -> u32 {
    if ON.load(Ordering::Relaxed) == UNKNOWN {
        let number = std::env::var("MUTANT").ok();
        let number = number.and_then(|number| number.parse().ok());
        if number.is_some() {
            // The first test that fails says all.
            std::panic::set_hook(std::boxed::Box::new(|_| std::process::exit(101)));
        }
        ON.store(number.unwrap_or(RECORDING), Ordering::Relaxed);
        return choose(first, count);
    }
    let known = REACHED
        .get(first as usize)
        .is_none_or(|reached| reached.swap(true, Ordering::Relaxed));
    if let (false, Some(path)) = (known, std::env::var_os("MUTANTS_REACHED")) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let line = std::format!("{first}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).ok();
    }
    0
}

/// Replacements of a statement or the end of a function without its check.
pub trait Skip {
    /// The value of a check that finds nothing, if the mutant is on.
    #[must_use]
    fn skip(self, mutant: u32) -> Self;
}

impl<T: Default, E> Skip for Result<T, E> {
    fn skip(self, mutant: u32) -> Self {
        if on(mutant) { Ok(T::default()) } else { self }
    }
}

impl<T: Default> Skip for Option<T> {
    fn skip(self, mutant: u32) -> Self {
        if on(mutant) { Some(T::default()) } else { self }
    }
}
