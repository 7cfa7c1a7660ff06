//! Cross-crate test support: the oracle, random networks, where models are.
//!
//! What a suite under `tests/` needs and what is not a test itself.

pub mod edges;
pub mod joined;
pub mod layer;
pub mod line;
pub mod oracle;
pub mod random_layer;
pub mod random_network;

pub use xtask::{models, networks};

use networks::{Net, Network};

/// A real network; `None` if its files are absent.
///
/// # Panics
/// If its files are there and cannot be used.
pub fn network(net: Net) -> Option<Network> {
    Network::load(net).expect("the network and its samples load")
}

/// The built-in digits network.
///
/// # Panics
/// Never: it is built in.
pub fn digits() -> Network {
    network(Net::Digits).expect("built in")
}
