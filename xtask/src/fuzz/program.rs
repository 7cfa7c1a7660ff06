//! The program that runs targets, as cargo names it.

use std::path::PathBuf;

/// The command's package and program.
pub(super) const PROGRAM: &str = "fewbit-fuzz";

/// The program's file out of cargo's messages.
pub(super) fn executable(messages: &str) -> Option<PathBuf> {
    let mut found = None;
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| message.get(name).and_then(|value| value.as_str());
        let target = message.get("target").and_then(|target| target.get("name"));
        if target.and_then(|name| name.as_str()) == Some(PROGRAM)
            && let Some(file) = field("executable")
        {
            found = Some(PathBuf::from(file));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_cargos_messages() {
        let artifact = |name: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":{executable}}}"#
            )
        };
        let messages = [
            artifact("fewbit_fuzz", "null"),
            artifact("xtask", r#""/t/debug/xtask""#),
            artifact(PROGRAM, r#""/t/debug/fewbit-fuzz""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ]
        .join("\n");
        assert_eq!(
            executable(&messages),
            Some(PathBuf::from("/t/debug/fewbit-fuzz"))
        );
        assert_eq!(executable(&artifact("xtask", r#""/t/xtask""#)), None);
    }
}
