//! Inputs that failed once do not fail again.

use fewbit_fuzz::{TARGETS, campaign, crashes, target};
use std::fs;

#[test]
fn inputs_that_failed_pass() {
    let mut failures = Vec::new();
    for target in TARGETS {
        let files = crashes::files(&crashes::folder(), &target).expect("the folder can be read");
        for path in files {
            let input = fs::read(&path).expect("the file can be read");
            if let Err(failure) = campaign::attempt(&target, &input) {
                failures.push(format!("{}: {failure}", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_folder_is_that_of_a_target() {
    let Ok(entries) = fs::read_dir(crashes::folder()) else {
        return;
    };
    for entry in entries {
        let name = entry.expect("can be read").file_name();
        let name = name.to_string_lossy();
        assert!(target(&name).is_some(), "no target is called {name}");
    }
}
