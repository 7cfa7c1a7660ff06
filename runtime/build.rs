//! Chooses the kernel family: `src/target.rs` says by what.

use std::env;

#[path = "src/target.rs"]
pub mod target;

fn main() {
    println!(
        "cargo::rustc-check-cfg=cfg(fewbit_family, values(\"all\", \"scalar\", \"dsp\", \"mve\"))"
    );
    println!("cargo::rustc-check-cfg=cfg(fewbit_core, values(\"v6m\", \"v8m\"))");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/target.rs");
    let triple = env::var("TARGET").unwrap_or_default();
    if triple.starts_with("thumbv6m") {
        // Eight registers, and no 64-bit product.
        println!("cargo::rustc-cfg=fewbit_core=\"v6m\"");
    }
    if triple.starts_with("thumbv8m.main") {
        println!("cargo::rustc-cfg=fewbit_core=\"v8m\"");
    }
    let isa = env::var(target::VARIABLE).ok();
    let family = target::of_target(&triple, isa.as_deref());
    // On the host the variable does not matter, and its change is not another build.
    if family != Ok(target::ALL) {
        println!("cargo::rerun-if-env-changed={}", target::VARIABLE);
    }
    match family {
        Ok(family) => println!("cargo::rustc-cfg=fewbit_family=\"{family}\""),
        Err(message) => println!("cargo::error={message}"),
    }
}
