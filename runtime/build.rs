//! Chooses the kernel family.
//!
//! `FEWBIT_ISA` names it: `scalar`, `dsp` or `mve`. The target's triple cannot tell: Cortex-M33 and M55 share one. Without
//! the variable, a build for Cortex-M4 or M7 takes `dsp` and every other one `scalar`, which runs everywhere.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(fewbit_family, values(\"scalar\", \"dsp\", \"mve\"))");
    println!("cargo::rustc-check-cfg=cfg(fewbit_core, values(\"v6m\", \"v8m\"))");
    let target = env::var("TARGET").unwrap_or_default();
    if target.starts_with("thumbv6m") {
        // Eight registers, and no 64-bit product.
        println!("cargo::rustc-cfg=fewbit_core=\"v6m\"");
    }
    if target.starts_with("thumbv8m.main") {
        println!("cargo::rustc-cfg=fewbit_core=\"v8m\"");
    }
    let has_dsp = target.starts_with("thumbv7em") || target.starts_with("thumbv8m.main");
    if !target.starts_with("thumb") && !target.starts_with("riscv32") {
        // The desk, where all families are there, whatever the board that a build on the desk is for.
        println!("cargo::rerun-if-changed=build.rs");
        println!("cargo::rustc-cfg=fewbit_family=\"scalar\"");
        return;
    }
    println!("cargo::rerun-if-env-changed=FEWBIT_ISA");
    let family = match env::var("FEWBIT_ISA").as_deref() {
        Ok("scalar") => "scalar",
        Ok("dsp") if has_dsp => "dsp",
        Ok("mve") if target.starts_with("thumbv8m.main") => "mve",
        Ok(name @ ("dsp" | "mve")) => {
            println!("cargo::error=FEWBIT_ISA={name}, but {target} has no such instructions");
            return;
        }
        Ok(other) => {
            println!("cargo::error=FEWBIT_ISA={other:?} is none of scalar, dsp, mve");
            return;
        }
        Err(_) if target.starts_with("thumbv7em") => "dsp",
        Err(_) => "scalar",
    };
    println!("cargo::rustc-cfg=fewbit_family=\"{family}\"");
}
