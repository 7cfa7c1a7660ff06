//! Damaged input for everything that reads any, and what must hold of it.
//!
//! A [`Target`] is a plain function over bytes, which panics if something does not hold. libFuzzer calls it (see `libfuzzer/`), and so does
//! [`campaign`], a loop of mutations that needs no more than a stable compiler.

pub mod blob;
pub mod bytes;
pub mod campaign;
pub mod crashes;
pub mod frame;
pub mod minimize;
pub mod npz;
pub mod onnx;
pub mod recipe;
pub mod report;

use fastrand::Rng;
use fewbit_device::repository::Repository;
use std::path::PathBuf;

/// The folder of the repository, where inputs and crashes are.
///
/// # Panics
/// Outside of any.
pub(crate) fn root() -> PathBuf {
    let repository = Repository::of_cargo().expect("fuzzing runs in the repository");
    repository.root().to_owned()
}

/// Something that reads untrusted bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line and in `crashes/`.
    pub name: &'static str,
    /// Description of the target's input, for readers.
    pub about: &'static str,
    /// Reads an input and checks all that must hold of it, by panics.
    pub run: fn(&[u8]) -> Outcome,
    /// The inputs that mutations start from, the same in every run.
    pub corpus: fn() -> Vec<Vec<u8>>,
    /// A new input out of those that are there; at least one is.
    pub mutate: fn(&mut Rng, &[Vec<u8>]) -> Vec<u8>,
    /// Makes a shorter input one that is read as far as the longer was: checksums.
    pub mend: fn(&mut Vec<u8>),
    /// Simpler inputs, by what the bytes mean: tried when one fails, before bytes are taken out.
    pub simpler: fn(&[u8]) -> Vec<Vec<u8>>,
    /// The names of all reasons to refuse an input; none if they are sentences and no list.
    pub refusals: fn() -> Vec<&'static str>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Outcome of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Reason of the refusal; `None` if it was accepted.
    pub refusal: Option<String>,
    /// Subject, such as the operator: counted with the refusal, or with the acceptance.
    pub subjects: Vec<&'static str>,
    /// Other refusals that were met on the way, of the same bytes read in another way.
    pub also: Vec<&'static str>,
    /// Tells apart what `refusal` and `subjects` do not; inputs of a new kind are mutated further.
    pub detail: u64,
}

impl Outcome {
    /// An accepted input.
    #[must_use]
    pub fn accepted(subjects: Vec<&'static str>, detail: u64) -> Self {
        Outcome {
            refusal: None,
            subjects,
            also: Vec::new(),
            detail,
        }
    }

    /// A refused one.
    #[must_use]
    pub fn refused(reason: impl Into<String>, subjects: Vec<&'static str>) -> Self {
        Outcome {
            refusal: Some(reason.into()),
            subjects,
            also: Vec::new(),
            detail: 0,
        }
    }
}

/// All targets.
pub const TARGETS: [Target; 5] = [
    blob::TARGET,
    onnx::TARGET,
    npz::TARGET,
    recipe::TARGET,
    frame::TARGET,
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// A message without what differs from input to input: quoted words, lists and numbers.
#[must_use]
pub fn shape_of_message(message: &str) -> String {
    let mut shape = String::new();
    let mut quote = None;
    for character in message.chars() {
        match (quote, character) {
            (Some(end), _) if character == end => quote = None,
            (Some(_), _) => {}
            (None, '`' | '"') => {
                quote = Some(character);
                shape.push_str("`..`");
            }
            (None, '[') => {
                quote = Some(']');
                shape.push_str("[..]");
            }
            (None, _) if character.is_ascii_digit() => {
                if !shape.ends_with('#') {
                    // Signs go with their numbers.
                    if shape.ends_with(" -") {
                        shape.pop();
                    }
                    shape.push('#');
                }
            }
            // Names out of damaged files.
            (None, _) if !character.is_ascii() || character.is_ascii_control() => {
                if !shape.ends_with('?') {
                    shape.push('?');
                }
            }
            (None, _) => shape.push(character),
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, target) in TARGETS.iter().enumerate() {
            let earlier = &TARGETS[..index];
            assert!(earlier.iter().all(|other| other.name != target.name));
        }
    }

    #[test]
    fn messages_lose_what_differs() {
        assert_eq!(
            shape_of_message("node `a1` (Conv): axis -12 of [1, 2] is \"x\""),
            "node `..` (Conv): axis # of [..] is `..`"
        );
    }
}
