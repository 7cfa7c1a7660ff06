//! A copied repository works on itself, not on where it was compiled.

use std::fs;
use std::process::Command;

/// Cargo tells a program of a copied repository, which it need not compile again, the copy's folder.
#[test]
fn tasks_of_a_copy_work_on_the_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    for part in ["runtime", "boards/my-board", "xtask"] {
        fs::create_dir_all(copy.join(part)).expect("writes");
    }
    for manifest in ["runtime/Cargo.toml", "boards/Cargo.toml"] {
        fs::write(copy.join(manifest), "").expect("writes");
    }
    let board = fs::read_to_string("../boards/mps2-an386/board.toml").expect("a board");
    let board = board.replace("name = \"mps2-an386\"", "name = \"my-board\"");
    fs::write(copy.join("boards/my-board/board.toml"), board).expect("writes");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("boards")
        .current_dir(folder.path())
        .env("CARGO_MANIFEST_DIR", copy.join("xtask"))
        .env_remove("FEWBIT_REPOSITORY")
        .output()
        .expect("starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(
        text.contains("my-board") && !text.contains("mps2-an386"),
        "{text}"
    );
}
