//! All cases of a suite, or the few that show a newcomer that things work.

/// The variable with which suites take few cases: `1`. Without it, or with `0`, they take all.
pub const VARIABLE: &str = "FEWBIT_SAMPLED";

/// Number of a suite's cases: `full`, or `few` if [`VARIABLE`] requests a sample. The code that runs them is the same.
///
/// # Panics
/// If the variable is neither `0` nor `1`.
pub fn sampled<T>(full: T, few: T) -> T {
    choose(std::env::var(VARIABLE).ok().as_deref(), full, few)
}

fn choose<T>(value: Option<&str>, full: T, few: T) -> T {
    match value {
        None | Some("0") => full,
        Some("1") => few,
        Some(other) => panic!("{VARIABLE} is {other:?}; it is 0 or 1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cases_are_taken_unless_few_are_asked_for() {
        assert_eq!(choose(None, 1000, 10), 1000);
        assert_eq!(choose(Some("0"), 1000, 10), 1000);
        assert_eq!(choose(Some("1"), 1000, 10), 10);
        let wrong = std::panic::catch_unwind(|| choose(Some("yes"), 1000, 10));
        assert!(wrong.is_err(), "a value that means nothing was taken");
    }
}
