//! Sources of firmware that the command uses.

use std::fs;
use std::path::{Path, PathBuf};

mod common;

use common::Session;

/// A small repository in a folder of a session: one board, whose name no other has.
fn repository(session: &Session, name: &str, board: &str) -> PathBuf {
    let root = session.path(name);
    let origin = Path::new("../../boards/mps2-an386/board.toml");
    let data = fs::read_to_string(origin).expect("a board");
    let data = data.replace("name = \"mps2-an386\"", &format!("name = \"{board}\""));
    assert!(data.contains(board), "{data}");
    for folder in ["runtime", "host/cli", &format!("boards/{board}")] {
        fs::create_dir_all(root.join(folder)).expect("writes");
    }
    for manifest in ["runtime/Cargo.toml", "boards/Cargo.toml"] {
        fs::write(root.join(manifest), "").expect("writes");
    }
    fs::write(root.join("boards").join(board).join("board.toml"), data).expect("writes");
    root
}

/// The boards that the command lists, called in a folder.
fn boards(
    session: &Session,
    folder: &Path,
    given: Option<&Path>,
    variable: Option<&Path>,
) -> String {
    let mut command = session.command(&["boards"]);
    command.current_dir(folder);
    command.env_remove("FEWBIT_REPOSITORY");
    // No repository of the package that cargo tests counts, only where the user is.
    command.env("XDG_CACHE_HOME", session.path("cache"));
    if let Some(given) = given {
        command.arg("--repository").arg(given);
    }
    if let Some(variable) = variable {
        command.env("FEWBIT_REPOSITORY", variable);
    }
    let output = command.output().expect("starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_named_repository_goes_before_the_one_around() {
    let session = Session::new();
    let around = repository(&session, "around", "board-around");
    let named = repository(&session, "named", "board-named");
    let given = repository(&session, "given", "board-given");
    let deep = around.join("host/cli");
    assert!(boards(&session, &deep, None, None).contains("board-around"));
    assert!(boards(&session, &deep, None, Some(&named)).contains("board-named"));
    let found = boards(&session, &deep, Some(&given), Some(&named));
    assert!(found.contains("board-given") && !found.contains("board-named"));
    // A copy whose original is gone is a repository like any other.
    let copy = session.path("copy");
    fs::rename(&around, &copy).expect("renames");
    assert!(boards(&session, &copy, None, None).contains("board-around"));
}

#[test]
fn outside_of_any_the_sources_brought_along_are_unpacked_once() {
    let session = Session::new();
    let outside = session.path("outside");
    fs::create_dir(&outside).expect("writes");
    let first = boards(&session, &outside, None, None);
    assert!(
        first.contains("mps2-an386") && first.contains("nrf52840-dk"),
        "{first}"
    );
    let cache = session.path("cache/fewbit");
    let folders = || fs::read_dir(&cache).expect("a cache").count();
    assert_eq!(folders(), 1);
    assert_eq!(boards(&session, &outside, None, None), first);
    assert_eq!(folders(), 1);
    assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 0);
}

#[test]
fn a_folder_that_is_no_repository_is_refused_by_its_name() {
    let session = Session::new();
    let message = session.fail(&["boards", "--repository", "."], 1);
    assert!(message.contains("--repository"), "{message}");
    assert!(message.contains("boards/Cargo.toml"), "{message}");
}
