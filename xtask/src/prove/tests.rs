//! Accepted and rejected evidence.

use std::time::Duration;

use super::*;

#[test]
fn names_are_unique_and_cells_have_no_bars() {
    for (index, promise) in PROMISES.iter().enumerate() {
        let mut others = PROMISES.iter().skip(index + 1);
        assert!(others.all(|other| other.name != promise.name));
        for text in [promise.promise, promise.evidence] {
            assert!(!text.contains('|') && !text.contains('\n'), "{text}");
        }
    }
}

#[test]
fn tests_are_shown_as_one_types_them() {
    let show = |source, tests| shown(&Command::Tests(source, tests)).expect("a package");
    assert_eq!(
        show("tests/tests/serial.rs", &["a", "b"]),
        "cargo test -p fewbit-tests --features device --test serial -- a b"
    );
    assert_eq!(
        show("boards/slots/src/tests.rs", &[]),
        "cargo test -p fewbit-slots --lib"
    );
    assert_eq!(
        show("runtime/tests/corruption.rs", &[]),
        "cargo test -p fewbit-runtime --test corruption"
    );
    assert_eq!(
        shown(&Command::Xtask(&["ci", "--only", "no panic"])).expect("short"),
        "cargo xtask ci --only \"no panic\""
    );
    assert!(test_program("scripts/x.rs").is_err());
    assert_eq!(main_file("tests/tests/serial.rs"), "tests/tests/serial.rs");
    let deep = main_file("runtime/src/load/tests/reads.rs");
    assert_eq!(deep, "runtime/src/lib.rs");
}

#[cfg(unix)]
#[test]
fn what_shows_nothing_is_no_evidence() {
    use std::os::unix::process::ExitStatusExt as _;
    let judged = |command, figure, code: i32, output: &str| {
        let promise = Promise {
            name: "x",
            promise: "x",
            evidence: "x",
            command,
            figure,
            seconds: 0,
        };
        let ended = Ended {
            name: "x".to_owned(),
            output: output.to_owned(),
            status: Ok(std::process::ExitStatus::from_raw(code << 8)),
            time: Duration::ZERO,
            cpu_seconds: None,
        };
        verdict(&promise, &ended)
    };
    let ok = "running 2 tests\n..a: 7 lost\ntest result: ok. 2 passed; 0 failed; 0 ignored;\n";
    let none = "running 0 tests\ntest result: ok. 0 passed; 0 failed; 0 ignored;\n";
    let tests = |names| Command::Tests("tests/tests/serial.rs", names);
    let passed = |names, output| judged(tests(names), Figure::Passed, 0, output);
    assert_eq!(passed(&[], ok).as_deref(), Ok("2 tests passed"));
    assert!(passed(&[], none).is_err());
    assert!(passed(&["a", "b"], ok).is_ok());
    // One of three names matches nothing.
    assert!(passed(&["a", "b", "c"], ok).is_err());
    assert!(judged(tests(&[]), Figure::Passed, 101, ok).is_err());
    let line = |words, output| judged(tests(&[]), Figure::Line(words), 0, output);
    assert_eq!(line("lost", ok).as_deref(), Ok("a: 7 lost"));
    assert!(line("found", ok).is_err());
    let task = |figure, output| judged(Command::Xtask(&["deny"]), figure, 0, output);
    let cores = "10 firmwares: no panic\n";
    let line = Figure::Line(": no panic");
    assert_eq!(task(line, cores).as_deref(), Ok("10 firmwares: no panic"));
    assert!(task(Figure::Line(": no panic"), "left out\n").is_err());
    assert!(task(Figure::Passed, "left out\n").is_err());
}

#[test]
fn each_suite_is_run_in_its_own_package() {
    let of = |source: &str| {
        super::test_program(source)
            .expect("has a package")
            .join(" ")
    };
    assert_eq!(of("host/src/lib.rs"), "test -p fewbit --lib");
    assert_eq!(
        of("host/cli/tests/hostile.rs"),
        "test -p fewbit-cli --test hostile"
    );
    for promise in &super::PROMISES {
        let super::Command::Tests(source, _) = promise.command else {
            continue;
        };
        let is_library = of(source).ends_with("--lib");
        assert_eq!(
            is_library,
            !source.contains("/tests/") || source.contains("/src/"),
            "{source}"
        );
    }
}
