//! The order of modules and crates: who may use whom.
//!
//! This is the one place where it is written down.

/// The order of a crate's top-level modules, lowest first: a module uses those of lower levels and of its own.
pub(super) struct Order {
    pub(super) package: &'static str,
    pub(super) levels: &'static [&'static [&'static str]],
}

/// Orders of crates that have one. Modules that are not listed are free, but take part in circles.
pub(super) const MODULES: [Order; 2] = [
    Order {
        package: "fewbit-runtime",
        levels: &[
            &["arith", "error", "limits", "format", "target"],
            &["kernels", "parts"],
            &["load", "pack"],
            &["engine"],
        ],
    },
    Order {
        package: "fewbit",
        levels: &[
            &[
                "range", "graph", "executor", "dataset", "recipe", "random", "error", "output",
                "progress",
            ],
            &["quantize"],
            &["import", "ptq", "compile", "export"],
            &["measure"],
            &["pipeline"],
        ],
    },
];

/// Lines of crates, lowest first: a crate depends on crates of lower levels of a line that it is in itself.
///
/// `boards/*` are the packages of that folder that are not named.
pub(super) const CRATES: [&[&[&str]]; 2] = [
    // The host.
    &[
        &[
            "fewbit-runtime",
            "fewbit-protocol",
            "fewbit-slots",
            "fewbit-signed",
            "generate-proto",
        ],
        &["fewbit-build", "fewbit"],
        &["fewbit-device"],
        &["fewbit-cli"],
        &["fewbit-tests"],
        &["xtask", "fewbit-fuzz"],
        &["fewbit-libfuzzer"],
    ],
    // Firmware, which knows nothing of the host.
    &[
        &[
            "fewbit-runtime",
            "fewbit-protocol",
            "fewbit-slots",
            "fewbit-signed",
        ],
        &["fewbit-build"],
        &["fewbit-firmware"],
        &["boards/*"],
    ],
];

/// Crates in which a module and its own submodules may still use one another: what the module defines is named by the
/// submodules, and their items by the module. A crate without such circles has to leave this list.
pub(super) const NESTED: [&str; 4] = [
    "fewbit-build",
    "fewbit-fuzz",
    "fewbit-runtime",
    "fewbit-tests",
];

/// A use that closes a circle or runs against the order, and is to go; one that is gone has to leave the list.
pub(super) struct Known {
    /// The file that uses the other one; both relative to the repository.
    pub(super) from: &'static str,
    /// The file that is used.
    pub(super) to: &'static str,
}

/// All of them.
pub(super) const KNOWN: [Known; 0] = [];
