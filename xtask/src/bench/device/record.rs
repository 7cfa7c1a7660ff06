//! Files that the benchmark writes and compares.

use std::path::Path;

use anyhow::{Context as _, Result};
use fewbit_cli::table;
use serde::{Deserialize, Serialize};

/// Growth up to which a figure may change, in percent.
const TOLERANCE_PERCENT: u64 = 1;

/// Instructions up to which a count may change: two ticks of the slowest board's timer.
const TIMER_SLACK: u64 = 126;

/// Figures of one board.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The board.
    pub(super) board: String,
    /// Its processor.
    pub(super) cpu: String,
    /// The compiler of the firmware; counts depend on it.
    pub(super) compiler: String,
    /// Layers by themselves.
    pub(super) layers: Vec<LayerRecord>,
    /// Whole models.
    pub(super) models: Vec<ModelRecord>,
}

/// A layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    /// Its letter.
    pub(super) name: String,
    /// Products of an activation and a weight; 0 where there are none.
    pub(super) macs: u64,
    /// Instructions, to within 40.
    pub(super) instructions: u64,
}

/// A whole model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ModelRecord {
    /// The network and its weights.
    pub(super) name: String,
    /// Instructions of one inference, to within 40.
    pub(super) instructions: u64,
    /// Bytes of the arena: input, activations, scratch.
    pub(super) arena_bytes: u64,
    /// Bytes of the blob.
    pub(super) blob_bytes: u64,
    /// Bytes of flash without the blob: of the bare firmware where the board has one, else with application and log.
    pub(super) runtime_flash_bytes: u64,
}

/// A figure that grew.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Regression(pub(super) String);

/// Compares with an older run; returns a table of what changed, and what grew by more than 1 %. Figures of another compiler are not compared:
/// counts depend on it. What the older run does not have is named.
pub(super) fn compare(old: &[Record], new: &[Record]) -> (String, Vec<Regression>) {
    let mut rows = table(&["board", "name", "figure", "before", "now", "change"]);
    let mut changed = false;
    let mut compared = 0_usize;
    let mut notes = String::new();
    let mut regressions = Vec::new();
    let mut judge = |board: &str, name: &str, figure: &str, old: u64, new: u64| {
        compared += 1;
        if old == new {
            return;
        }
        let change = new as f64 / old.max(1) as f64 - 1.0;
        let row = [
            board.to_owned(),
            name.to_owned(),
            figure.to_owned(),
            old.to_string(),
            new.to_string(),
            format!("{:+.1} %", 100.0 * change),
        ];
        // Small layers are a few ticks of the board's timer.
        let slack = if figure == "instructions" {
            TIMER_SLACK
        } else {
            0
        };
        if new * 100 > old * (100 + TOLERANCE_PERCENT) && new > old + slack {
            regressions.push(Regression(format!(
                "{board} {name}: {figure} {old} -> {new}"
            )));
        }
        rows.add_row(row);
        changed = true;
    };
    for new in new {
        let Some(old) = old.iter().find(|old| old.board == new.board) else {
            notes.push_str(&format!("{}: not in the older run\n", new.board));
            continue;
        };
        if old.compiler != new.compiler {
            notes.push_str(&format!(
                "{}: not compared, {} before and {} now\n",
                new.board, old.compiler, new.compiler
            ));
            continue;
        }
        let mut unknown = Vec::new();
        for layer in &new.layers {
            if let Some(old) = old.layers.iter().find(|old| old.name == layer.name) {
                judge(
                    &new.board,
                    &layer.name,
                    "instructions",
                    old.instructions,
                    layer.instructions,
                );
            } else {
                unknown.push(layer.name.as_str());
            }
        }
        for model in &new.models {
            if let Some(old) = old.models.iter().find(|old| old.name == model.name) {
                judge(
                    &new.board,
                    &model.name,
                    "instructions",
                    old.instructions,
                    model.instructions,
                );
                judge(
                    &new.board,
                    &model.name,
                    "arena",
                    old.arena_bytes,
                    model.arena_bytes,
                );
                judge(
                    &new.board,
                    &model.name,
                    "blob",
                    old.blob_bytes,
                    model.blob_bytes,
                );
                judge(
                    &new.board,
                    &model.name,
                    "flash",
                    old.runtime_flash_bytes,
                    model.runtime_flash_bytes,
                );
            } else {
                unknown.push(model.name.as_str());
            }
        }
        if !unknown.is_empty() {
            notes.push_str(&format!(
                "{}: not in the older run: {}\n",
                new.board,
                unknown.join(", ")
            ));
        }
    }
    let text = if changed {
        rows.to_string()
    } else if compared == 0 {
        "nothing was compared".to_owned()
    } else {
        "nothing changed".to_owned()
    };
    let text = notes + &text;
    (text, regressions)
}

/// Reads the records of an older run.
///
/// # Errors
///
/// If the file cannot be read or was not written by the benchmark.
pub(super) fn read(path: &Path) -> Result<Vec<Record>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} holds no figures of `bench device`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(instructions: u64, arena_bytes: u64) -> Record {
        Record {
            board: "m4".to_owned(),
            layers: vec![LayerRecord {
                name: "a".to_owned(),
                macs: 1,
                instructions,
            }],
            models: vec![ModelRecord {
                name: "kws".to_owned(),
                arena_bytes,
                ..ModelRecord::default()
            }],
            ..Record::default()
        }
    }

    #[test]
    fn growth_beyond_one_percent_is_a_regression() {
        let old = [record(100_000, 500)];
        assert_eq!(
            compare(&old, &old),
            ("nothing changed".to_owned(), Vec::new())
        );
        assert!(compare(&old, &[record(101_000, 490)]).1.is_empty());
        let (text, regressions) = compare(&old, &[record(101_100, 506)]);
        assert_eq!(regressions.len(), 2, "{text}");
        assert!(text.contains("+1.1 %") && text.contains("+1.2 %"), "{text}");
        // One tick of a small layer is more than 1 %, and no regression.
        assert!(
            compare(&[record(560, 500)], &[record(600, 500)])
                .1
                .is_empty()
        );
        // Another compiler has other counts.
        let other = Record {
            compiler: "rustc 2".to_owned(),
            ..record(500_000, 500)
        };
        let (text, regressions) = compare(&old, &[other]);
        assert!(regressions.is_empty() && text.contains("rustc 2"), "{text}");
        assert!(text.ends_with("nothing was compared"), "{text}");
    }

    #[test]
    fn what_the_older_run_does_not_have_is_named() {
        let new = [record(1000, 500)];
        let (text, regressions) = compare(&[], &new);
        assert!(regressions.is_empty());
        assert_eq!(text, "m4: not in the older run\nnothing was compared");
        let mut old = record(1000, 500);
        old.layers.clear();
        let (text, regressions) = compare(&[old], &new);
        assert!(regressions.is_empty());
        assert_eq!(text, "m4: not in the older run: a\nnothing changed");
    }

    #[test]
    fn the_file_has_these_fields() {
        let json = serde_json::to_value([record(1000, 500)]).expect("plain data");
        let expected = serde_json::json!([{
            "board": "m4",
            "cpu": "",
            "compiler": "",
            "layers": [{"name": "a", "macs": 1, "instructions": 1000}],
            "models": [{
                "name": "kws",
                "instructions": 0,
                "arena_bytes": 500,
                "blob_bytes": 0,
                "runtime_flash_bytes": 0,
            }],
        }]);
        assert_eq!(json, expected);
    }

    #[test]
    fn the_committed_figures_can_be_compared_with() {
        let records = read(&crate::root().join(super::super::BASELINE)).expect("well formed");
        let board = records.iter().find(|record| record.board == "mps2-an386");
        let board = board.expect("the board that CI measures");
        for layer in super::super::LAYERS {
            let mut own = board.layers.iter().filter(|own| own.name == layer.name);
            assert!(own.next().is_some_and(|own| own.instructions > 0));
            assert!(own.next().is_none(), "{} twice", layer.name);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("old.json");
        std::fs::write(&path, "{}").expect("written");
        let message = format!("{:#}", read(&path).expect_err("no list"));
        assert!(
            message.contains("no figures of `bench device`"),
            "{message}"
        );
    }
}
