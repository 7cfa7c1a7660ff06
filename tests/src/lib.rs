//! Cross-crate test support: the oracle, random networks, where models are.
//!
//! Parts that suites under `tests/` share and that are not tests themselves.

pub mod compare;
pub mod edges;
pub mod joined;
pub mod layer;
#[cfg(feature = "networks")]
pub mod line;
pub mod oracle;
pub mod random_layer;
pub mod random_network;
pub mod sampled;

#[cfg(feature = "networks")]
pub mod models;
#[cfg(feature = "networks")]
pub mod networks;

pub use sampled::sampled;

#[cfg(feature = "networks")]
use fewbit_cli::Environment;
#[cfg(feature = "networks")]
use fewbit_device::repository::Repository;
#[cfg(feature = "networks")]
use networks::{Net, Network};

/// The repository whose suites these are: that of the package which cargo runs or tests, else the one around the current folder.
///
/// # Panics
/// Outside of any.
#[cfg(feature = "networks")]
pub fn repository() -> &'static Repository {
    static FOUND: std::sync::LazyLock<Repository> =
        std::sync::LazyLock::new(|| Repository::of_cargo().expect("suites run in the repository"));
    &FOUND
}

/// Environment of the product's commands in suites.
#[cfg(feature = "networks")]
pub fn environment() -> Environment {
    Environment::new(Some(repository().root().to_owned()))
}

/// A real network; `None` if its files are absent.
///
/// # Panics
/// If its files are there and cannot be used.
#[cfg(feature = "networks")]
pub fn network(net: Net) -> Option<Network> {
    Network::load(net).expect("the network and its samples load")
}

/// The built-in digits network.
///
/// # Panics
/// Never: it is built in.
#[cfg(feature = "networks")]
pub fn digits() -> Network {
    network(Net::Digits).expect("built in")
}
