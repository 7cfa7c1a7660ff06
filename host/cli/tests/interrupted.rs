//! Writers that are killed, full disks, read-only folders, two at once.
//!
//! Whatever happens while files are written, each of them is whole: the old one, or the new one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fewbit::output::Outputs;
use fewbit::random::Sequence;

mod common;

use common::{Session, digits};

/// Names the folder that [`write_if_started`] writes to, in a process of its own.
const FOLDER: &str = "FEWBIT_TEST_FOLDER";

/// Names of what one run writes.
const NAMES: [&str; 4] = ["model.fewbit", "model.recipe.toml", "report.json", "y.npy"];

/// Bytes of a file; more than one write of a buffer.
const LENGTH: usize = 100_000;

/// Runs killed.
const KILLS: usize = 200;

/// Every byte tells the run; the last is the complement, so that no cut-off file passes.
fn content(run: u8) -> Vec<u8> {
    let mut bytes = vec![run; LENGTH];
    bytes[LENGTH - 1] = !run;
    bytes
}

/// The run that a whole file is of.
#[track_caller]
fn run_of(path: &Path) -> u8 {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let run = bytes[0];
    assert!(bytes == content(run), "{} is torn", path.display());
    run
}

/// Writes all files of one run.
fn write_all(folder: &Path, run: u8) {
    let mut outputs = Outputs::default();
    for name in NAMES {
        outputs
            .add(&folder.join(name), &content(run))
            .expect("writes");
    }
    outputs.commit().expect("commits");
}

/// Victim: in a process that [`start_writer`] has started, it writes run after run without an end.
fn write_if_started() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    for run in (0..=u8::MAX).cycle() {
        write_all(Path::new(&folder), run);
    }
}

/// Starts this program again, as the test that begins with [`write_if_started`].
fn start_writer(folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "a_killed_writer_leaves_whole_files"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

/// Files that a killed run has left beside their places.
fn left_over(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("reads");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_temporary = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(".fewbit-")
    };
    paths.filter(is_temporary).collect()
}

/// Kills go to moments between 0 and 20 ms after the writer has begun; most are in the middle of a run, whose temporary files tell so.
#[test]
fn a_killed_writer_leaves_whole_files() {
    write_if_started();
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_all(folder, 255);
    let mut random = Sequence::new(7);
    let (mut within, mut mixed) = (0, 0);
    for _ in 0..KILLS {
        let before = NAMES.map(|name| run_of(&folder.join(name)));
        let mut child = start_writer(folder);
        // Until it writes: until then nothing can be torn.
        for _ in 0..10_000 {
            if !left_over(folder).is_empty() || run_of(&folder.join(NAMES[0])) != before[0] {
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let wait = random.values(1, 0.0, 20_000.0)[0];
        std::thread::sleep(Duration::from_micros(wait as u64));
        child.kill().expect("is killed");
        child.wait().expect("ends");
        let runs = NAMES.map(|name| run_of(&folder.join(name)));
        // Names are given one after the other: a later file is at most one run behind, or still that of the writer before.
        for later in 1..NAMES.len() {
            let behind = runs[later - 1].wrapping_sub(runs[later]);
            assert!(behind <= 1 || runs[later] == before[later], "{runs:?}");
        }
        mixed += usize::from(runs.iter().any(|&run| run != runs[0]));
        let left = left_over(folder);
        within += usize::from(!left.is_empty());
        for path in left {
            fs::remove_file(path).expect("is removed");
        }
    }
    println!("{KILLS} kills, {within} while files were written, {mixed} between two names");
    assert!(
        within > KILLS / 4,
        "{within} of {KILLS} kills tell something"
    );
}

#[test]
fn two_writers_of_one_file_leave_one_of_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_all(folder, 0);
    let mut children = [start_writer(folder), start_writer(folder)];
    for _ in 0..300 {
        for name in NAMES {
            run_of(&folder.join(name));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    for child in &mut children {
        assert!(
            child.try_wait().expect("is asked").is_none(),
            "a writer has failed"
        );
        child.kill().expect("is killed");
        child.wait().expect("ends");
    }
    for name in NAMES {
        run_of(&folder.join(name));
    }
}

/// No file of a command may grow beyond 512-byte blocks as many as given: a disk that is full sooner or later, at each kind of output.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_at_any_output_changes_nothing() {
    let session = Session::new();
    for name in ["digits.onnx", "digits.npz"] {
        fs::copy(digits(name), session.path(name)).expect("copies");
    }
    let made = session.run(&["quantize", "--out", "made.fewbit"]);
    assert!(made.status.success(), "{made:?}");
    let data = "digits.npz:x_train[0:16]";
    let quantize = [
        "quantize",
        "digits.onnx",
        "--calibration",
        data,
        "--out",
        "new.fewbit",
    ];
    let run = ["run", "made.fewbit", "--input", data, "--output", "new.npy"];
    let eval = ["eval", "made.fewbit", "--data", data, "--json", "new.json"];
    let inspect = ["inspect", "made.fewbit", "--json", "new.json"];
    let with_report = [&quantize[..], &["--json", "new.json"]].concat();
    let commands = [&with_report[..], &quantize, &run, &eval, &inspect];
    for args in commands {
        let limited = |blocks: u32| {
            Command::new("sh")
                .args([
                    "-c",
                    "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"",
                    "sh",
                ])
                .arg(blocks.to_string())
                .arg(env!("CARGO_BIN_EXE_fewbit"))
                .args(args)
                .current_dir(session.path("."))
                .output()
                .expect("starts")
        };
        let new = || {
            let entries = fs::read_dir(session.path(".")).expect("reads");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            let is_new = |name: &String| name.starts_with("new.") || name.starts_with(".fewbit-");
            let mut names: Vec<String> = names
                .map(|name| name.to_string_lossy().into_owned())
                .filter(is_new)
                .collect();
            names.sort();
            names
        };
        let (mut blocks, mut refused) = (0, 0);
        loop {
            let output = limited(blocks);
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                break;
            }
            refused += 1;
            assert_eq!(output.status.code(), Some(1), "{message}");
            assert!(new().is_empty(), "{args:?} left {:?}", new());
            assert!(message.contains("cannot write new."), "{message}");
            blocks = if blocks == 0 { 1 } else { blocks * 2 };
        }
        assert!(refused > 0 && !new().is_empty(), "{args:?}");
        for name in new() {
            fs::remove_file(session.path(&name)).expect("is removed");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let session = Session::new();
    for name in ["digits.onnx", "digits.npz"] {
        fs::copy(digits(name), session.path(name)).expect("copies");
    }
    let folder = session.path("locked");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).expect("is locked");
    // The superuser writes there all the same; not to what the kernel shows.
    let place = match fs::write(folder.join("probe"), b"") {
        Ok(()) => PathBuf::from("/proc/self/new.fewbit"),
        Err(_) => folder.join("new.fewbit"),
    };
    let place = place.to_str().expect("text");
    let message = session.fail(
        &[
            "quantize",
            "digits.onnx",
            "--calibration",
            "digits.npz:x_train[0:16]",
            "--out",
            place,
        ],
        1,
    );
    assert!(message.contains(place), "{message}");
}
