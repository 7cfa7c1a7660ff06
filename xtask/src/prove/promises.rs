//! The promises of SECURITY.md, and what shows that each is kept.
//!
//! A row is one entry; SECURITY.md's table is written from this list, and `tidy` holds both together.

/// A promise.
pub(super) struct Promise {
    /// One word or a few, for `--only`.
    pub name: &'static str,
    /// What is promised.
    pub promise: &'static str,
    /// What is done to show it.
    pub evidence: &'static str,
    /// How that is run.
    pub command: Command,
    /// What of its output is shown.
    pub figure: Figure,
    /// CPU seconds, roughly; the longest start first.
    pub seconds: u32,
}

/// How a promise's evidence is run.
pub(super) enum Command {
    /// A task of `cargo xtask`, and its arguments.
    Xtask(&'static [&'static str]),
    /// These tests of a file, from the repository's root, by the ends of their names; all of it if none is named.
    Tests(&'static str, &'static [&'static str]),
}

/// What of an output is shown, of one line always.
pub(super) enum Figure {
    /// How many tests have passed.
    Passed,
    /// The last line with these words.
    Line(&'static str),
}

use Command::{Tests, Xtask};
use Figure::{Line, Passed};

/// All of them.
pub(super) const PROMISES: [Promise; 18] = [
    Promise {
        name: "checks of the loader",
        promise: "A blob that loads is sound: every check of the loader is in force, and none of its limits is off by one",
        evidence: "each check is left out, each limit moved and each comparison turned, one at a time; a test fails each time, or a proof says that nothing changes",
        command: Xtask(&["mutants", "--jobs", "2"]),
        figure: Line("mutants in"),
        seconds: 600,
    },
    Promise {
        name: "damaged blobs",
        promise: "A damaged or forged blob is refused, or runs without a panic inside its own memory",
        evidence: "every value of every header byte, every truncation, 10,000 flipped bits under a right checksum",
        command: Tests("runtime/tests/corruption.rs", &[]),
        figure: Passed,
        seconds: 10,
    },
    Promise {
        name: "32 bits",
        promise: "The same on a processor of 32 bits, where products overflow sooner",
        evidence: "the runtime's suites on a 32-bit target with overflow checks",
        command: Xtask(&["ci", "--only", "on 32 bits"]),
        figure: Passed,
        seconds: 150,
    },
    Promise {
        name: "no panic",
        promise: "Loading and running a model cannot panic on a board, calls no function again from within, and takes no more stack than is said",
        evidence: "the machine code of the least firmware is followed, with every kernel and with those of one network, on five kinds of cores",
        command: Xtask(&["bounds"]),
        figure: Line("no panic and no recursion"),
        seconds: 93,
    },
    Promise {
        name: "edges",
        promise: "No accumulator leaves 32 bits: the largest that the loader lets through is exact, the first beyond is refused",
        evidence: "every operator at its bound, against wide integers; the rounding rule for all words of 8 and 16 bits",
        command: Tests("tests/tests/edges.rs", &[]),
        figure: Passed,
        seconds: 6,
    },
    Promise {
        name: "damaged input",
        promise: "No blob, model file, data file, recipe or byte of a serial line makes what reads it panic, hang or disagree with itself",
        evidence: "mutated inputs, 20 seconds for each reader; what loads runs in every kernel family, in place and not, to the same bytes",
        command: Xtask(&["fuzz", "--seconds", "20"]),
        figure: Line("executions of"),
        seconds: 120,
    },
    Promise {
        name: "operations",
        promise: "A model whose run takes more operations than the caller allows is refused before its weights are read",
        evidence: "the limit is exact to one operation",
        command: Tests(
            "runtime/src/load/tests/reads.rs",
            &["a_limit_of_the_callers_is_exact_and_no_higher_than_the_formats"],
        ),
        figure: Passed,
        seconds: 1,
    },
    Promise {
        name: "hostile data",
        promise: "Data files and blobs from elsewhere end in an error and not in a crash, take no memory that they do not fill, and outputs overwrite no input",
        evidence: "headers that claim terabytes, numbers that are none, damaged metadata, full disks and closed pipes",
        command: Tests("host/cli/tests/hostile.rs", &[]),
        figure: Passed,
        seconds: 60,
    },
    Promise {
        name: "interrupted writes",
        promise: "A command that is killed, or finds the disk full or the folder locked, leaves each file whole: the old one or the new one",
        evidence: "200 kills in the middle of writing, a disk that is full at each output, two writers at once",
        command: Tests("host/cli/tests/interrupted.rs", &[]),
        figure: Passed,
        seconds: 30,
    },
    Promise {
        name: "power failures",
        promise: "An update that is cut off at any moment leaves the model before it in use",
        evidence: "the power fails at every byte that is erased or written",
        command: Tests("boards/slots/src/tests.rs", &["power_may_fail_at_any_byte"]),
        figure: Passed,
        seconds: 2,
    },
    Promise {
        name: "damaged slots",
        promise: "A damaged slot is not run: the board falls back to the other one, or to its own model",
        evidence: "every bit of the newer slot is flipped",
        command: Tests(
            "boards/slots/src/tests.rs",
            &[
                "damage_is_seen",
                "a_model_that_is_not_accepted_is_passed_over_and_overwritten",
            ],
        ),
        figure: Passed,
        seconds: 2,
    },
    Promise {
        name: "line faults",
        promise: "No fault of the serial line and no reset makes a wrong result",
        evidence: "1,000 runs in the emulator, one of 600 bytes lost, changed or repeated, with resets in the middle",
        command: Tests(
            "tests/tests/serial.rs",
            &["no_fault_of_the_line_makes_a_wrong_result"],
        ),
        figure: Line("resets,"),
        seconds: 150,
    },
    Promise {
        name: "another model",
        promise: "No result is taken for that of another model, to which a board may fall back at a reset",
        evidence: "1,000 runs over the same line, with resets that bring an older model of equal sizes back",
        command: Tests(
            "tests/tests/serial.rs",
            &["no_result_is_taken_for_another_models"],
        ),
        figure: Line("of another model refused"),
        seconds: 150,
    },
    Promise {
        name: "signed updates",
        promise: "Firmware with a key stores no model that is not signed for it, and none older than the newest; what is refused changes nothing",
        evidence: "unsigned, stranger's, cut-off, changed, swapped and replayed updates to an emulated board, over resets too",
        command: Tests("tests/tests/updates.rs", &[]),
        figure: Passed,
        seconds: 60,
    },
    Promise {
        name: "signatures",
        promise: "A signature is good for one blob, version and product, and cannot be written in a second way",
        evidence: "every bit of signature, digest, version and length changed; a signature of OpenSSL's as reference",
        command: Tests("boards/signed/src/tests.rs", &[]),
        figure: Passed,
        seconds: 5,
    },
    Promise {
        name: "swapped models",
        promise: "An update arrives whole over a bad line or not at all, and what does not fit is refused while the model before goes on",
        evidence: "updates to an emulated board over a line with faults, and with resets in the middle",
        command: Tests("tests/tests/slots.rs", &[]),
        figure: Passed,
        seconds: 40,
    },
    Promise {
        name: "dependencies",
        promise: "No dependency with an advisory that is known to the list, of an unknown source, or under a licence that is not taken",
        evidence: "the dependencies of both workspaces against `deny.toml`",
        command: Xtask(&["deny"]),
        figure: Line("packages"),
        seconds: 2,
    },
    Promise {
        name: "reproducible blobs",
        promise: "The same model, samples and recipe give the same blob, so that anyone can make it again and compare",
        evidence: "other numbers of threads, other orders of samples, other seeds",
        command: Tests("tests/tests/reproducible.rs", &[]),
        figure: Passed,
        seconds: 30,
    },
];
