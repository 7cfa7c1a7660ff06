//! Promises of SECURITY.md, and the evidence for each.
//!
//! A row is one entry; SECURITY.md's table is generated from this list, and `tidy` compares them.

/// A promise.
pub(super) struct Promise {
    /// One word or a few, for `--only`.
    pub name: &'static str,
    /// Text of the promise in SECURITY.md.
    pub promise: &'static str,
    /// Text of the evidence in SECURITY.md.
    pub evidence: &'static str,
    /// Command that runs the evidence.
    pub command: Command,
    /// Part of the output that is shown.
    pub figure: Figure,
    /// Approximate CPU seconds; the longest start first.
    pub seconds: u32,
}

/// Command that runs a promise's evidence.
pub(super) enum Command {
    /// A task of `cargo xtask`, and its arguments.
    Xtask(&'static [&'static str]),
    /// Tests of a file (path from the repository's root), by the ends of their names; all of them if none is named.
    Tests(&'static str, &'static [&'static str]),
}

/// Part of an output that is shown, always one line.
pub(super) enum Figure {
    /// Number of tests that passed.
    Passed,
    /// Last line that contains these words.
    Line(&'static str),
}

use Command::{Tests, Xtask};
use Figure::{Line, Passed};

/// All promises, in the order of SECURITY.md.
pub(super) const PROMISES: [Promise; 18] = [
    Promise {
        name: "checks of the loader",
        promise: "A blob that loads is valid: every check of the loader is in force, and none of its limits is off by one",
        evidence: "each check is removed, each limit moved and each comparison inverted, one at a time; a test fails each time, or there is a proof that nothing changes",
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
        promise: "Loading and running a model cannot panic on a board, never recurses, and takes no more stack than the stated bound",
        evidence: "analysis of the machine code of the smallest firmware, with every kernel and with those of one network, on five kinds of cores",
        command: Xtask(&["bounds"]),
        figure: Line("no panic and no recursion"),
        seconds: 93,
    },
    Promise {
        name: "edges",
        promise: "No accumulator overflows 32 bits: the largest that the loader accepts is exact, the first beyond is refused",
        evidence: "every operator at its bound, against wide integers; the rounding rule for all words of 8 and 16 bits",
        command: Tests("tests/tests/edges.rs", &[]),
        figure: Passed,
        seconds: 6,
    },
    Promise {
        name: "damaged input",
        promise: "No blob, model file, data file, recipe or byte of a serial line makes its reader panic, hang or give inconsistent results",
        evidence: "mutated inputs, 20 seconds per reader; blobs that load run in every kernel family, in place and not, to the same bytes",
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
        promise: "Untrusted data files and blobs cause an error and not a crash, take no memory that they do not fill, and outputs overwrite no input",
        evidence: "headers that claim terabytes, invalid numbers, damaged metadata, full disks and closed pipes",
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
        promise: "An update that is interrupted at any moment leaves the previous model in use",
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
        evidence: "1,000 runs over the same line, with resets that bring back an older model of equal sizes",
        command: Tests(
            "tests/tests/serial.rs",
            &["no_result_is_taken_for_another_models"],
        ),
        figure: Line("of another model refused"),
        seconds: 150,
    },
    Promise {
        name: "signed updates",
        promise: "Firmware with a key stores no model that is not signed for it, and none older than the newest; a refused update changes nothing",
        evidence: "updates to an emulated board that are unsigned, signed by another key, truncated, changed, swapped and replayed, with resets too",
        command: Tests("tests/tests/updates.rs", &[]),
        figure: Passed,
        seconds: 60,
    },
    Promise {
        name: "signatures",
        promise: "A signature is valid for one blob, version and product, and has only one valid encoding",
        evidence: "every bit of signature, digest, version and length changed; a signature of OpenSSL's as reference",
        command: Tests("boards/signed/src/tests.rs", &[]),
        figure: Passed,
        seconds: 5,
    },
    Promise {
        name: "swapped models",
        promise: "An update over a bad line arrives complete or not at all, and a model that does not fit is refused while the previous one stays in use",
        evidence: "updates to an emulated board over a line with faults, and with resets in the middle",
        command: Tests("tests/tests/slots.rs", &[]),
        figure: Passed,
        seconds: 40,
    },
    Promise {
        name: "dependencies",
        promise: "No dependency has an advisory in the list, an unknown source, or a licence that is not accepted",
        evidence: "the dependencies of both workspaces against `deny.toml`",
        command: Xtask(&["deny"]),
        figure: Line("packages"),
        seconds: 2,
    },
    Promise {
        name: "reproducible blobs",
        promise: "The same model, samples and recipe give the same blob, so that anyone can reproduce it and compare",
        evidence: "other numbers of threads, other orders of samples, other seeds",
        command: Tests("tests/tests/reproducible.rs", &[]),
        figure: Passed,
        seconds: 30,
    },
];
