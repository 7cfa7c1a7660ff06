//! Kernel family of a build, by its target and `FEWBIT_ISA`.
//!
//! The runtime's own build script uses this file, and `fewbit-build` before it embeds a model.

/// Variable that names the family.
pub const VARIABLE: &str = "FEWBIT_ISA";

/// Value for a build on the host, which has all families, for any board.
pub const ALL: &str = "all";

/// Family of a build for `target`, if [`VARIABLE`] is `isa`: `scalar`, `dsp` or `mve`, and [`ALL`] on the host.
///
/// A target's triple does not determine it: Cortex-M33 and M55 share one. Without the variable a build for Cortex-M4 or M7 has
/// `dsp`, and every other one `scalar`, which runs everywhere.
///
/// # Errors
///
/// A sentence, if there is no such family or the target lacks the instructions for it.
pub fn of_target(target: &str, isa: Option<&str>) -> Result<&'static str, String> {
    if !target.starts_with("thumb") && !target.starts_with("riscv32") {
        return Ok(ALL);
    }
    let vectors = target.starts_with("thumbv8m.main");
    let pairs = vectors || target.starts_with("thumbv7em");
    match isa {
        Some("scalar") => Ok("scalar"),
        Some("dsp") if pairs => Ok("dsp"),
        Some("mve") if vectors => Ok("mve"),
        Some(isa @ ("dsp" | "mve")) => Err(format!(
            "{VARIABLE}={isa}, but {target} has no such instructions"
        )),
        Some(other) => Err(format!(
            "{VARIABLE}={other:?} is not one of scalar, dsp, mve"
        )),
        None if target.starts_with("thumbv7em") => Ok("dsp"),
        None => Ok("scalar"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_the_families_that_it_has_instructions_for() {
        let families = |target: &str| {
            let has = |isa: &&str| of_target(target, Some(*isa)) == Ok(*isa);
            ["scalar", "dsp", "mve"].into_iter().filter(has).count()
        };
        // One more of them from each to the next, in the order of the names.
        for (target, count, without) in [
            ("thumbv6m-none-eabi", 1, "scalar"),
            ("thumbv7m-none-eabi", 1, "scalar"),
            ("riscv32imc-unknown-none-elf", 1, "scalar"),
            ("thumbv7em-none-eabihf", 2, "dsp"),
            ("thumbv8m.main-none-eabihf", 3, "scalar"),
        ] {
            assert_eq!(families(target), count, "{target}");
            assert_eq!(of_target(target, None), Ok(without), "{target}");
            let message = of_target(target, Some("neon")).unwrap_err();
            assert!(message.contains("not one of scalar, dsp, mve"), "{message}");
        }
        let message = of_target("thumbv7em-none-eabihf", Some("mve")).unwrap_err();
        assert!(message.contains("has no such instructions"), "{message}");
    }

    #[test]
    fn the_host_has_all_families_for_any_variable() {
        for isa in [None, Some("dsp"), Some("neon")] {
            assert_eq!(of_target("x86_64-unknown-linux-gnu", isa), Ok(ALL));
        }
    }
}
