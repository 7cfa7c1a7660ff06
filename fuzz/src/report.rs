//! Figures of campaigns as a table.

use crate::campaign::Figures;
use std::fmt::Write as _;

/// A table with a line for each target, and below it what was refused and what was not.
#[must_use]
pub fn table(all: &[Figures]) -> String {
    let mut text = format!(
        "{:<8} {:>11} {:>8} {:>9} {:>11} {:>8} {:>9} {:>8} {:>8}\n",
        "target",
        "executions",
        "seconds",
        "a second",
        "accepted",
        "refusals",
        "of",
        "slowest",
        "crashes"
    );
    for figures in all {
        let rate = figures.executions as f64 / figures.seconds.max(1e-9);
        let of = figures
            .refusals_all
            .map_or_else(|| "-".to_owned(), |all| all.to_string());
        let _ = writeln!(
            text,
            "{:<8} {:>11} {:>8.0} {rate:>9.0} {:>11} {:>8} {of:>9} {:>6.0} ms {:>6}",
            figures.target,
            figures.executions,
            figures.seconds,
            figures.accepted,
            figures.refusals_reached,
            1000.0 * figures.slowest,
            figures.crashes.len(),
        );
    }
    for figures in all {
        let _ = writeln!(
            text,
            "\n{}: {} inputs at the beginning, {} at the end; {} kinds of outcomes",
            figures.target, figures.corpus, figures.kept, figures.kinds
        );
        if !figures.subjects.is_empty() {
            let _ = writeln!(text, "  {:<18} {:>10} {:>10}", "", "accepted", "refused");
        }
        for (subject, [accepted, refused]) in &figures.subjects {
            let _ = writeln!(text, "  {subject:<18} {accepted:>10} {refused:>10}");
        }
        let mut refusals: Vec<_> = figures.refusals.iter().collect();
        refusals.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in refusals {
            let _ = writeln!(text, "  {count:>10}  {reason}");
        }
        for (reason, count) in &figures.elsewhere {
            if !figures.refusals.contains_key(reason) {
                let _ = writeln!(text, "  {count:>10}  {reason} (read in another way)");
            }
        }
        if !figures.never.is_empty() {
            let _ = writeln!(text, "  never reached: {}", figures.never.join(", "));
        }
    }
    let crashes: usize = all.iter().map(|figures| figures.crashes.len()).sum();
    let executions: u64 = all.iter().map(|figures| figures.executions).sum();
    let _ = writeln!(
        text,
        "\n{executions} executions of {} targets, {crashes} crashes",
        all.len()
    );
    text
}
