//! Cross-crate test support: the oracle, random networks, where models are.
//!
//! What a suite under `tests/` needs and what is not a test itself.

pub mod compare;
pub mod edges;
pub mod joined;
pub mod layer;
#[cfg(feature = "networks")]
pub mod line;
pub mod oracle;
pub mod random_layer;
pub mod random_network;

#[cfg(feature = "networks")]
pub use xtask::{models, networks};

#[cfg(feature = "networks")]
use networks::{Net, Network};

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
