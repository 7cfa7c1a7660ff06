//! Lines to firmware for tests: a bad one, and one that is offered as a server.
//!
//! And what the firmware of the suites computes: the sample model of two tables.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fewbit_device::link::line::Line;

/// Share of bytes that the bad line drops, flips or repeats.
const FAULTS: f64 = 1.0 / 600.0;

/// Function of the sample model, written from its description: saturating negation, then 3 added, wrapping.
pub fn expected(input: &[i8]) -> Vec<i8> {
    expected_adding(input, 3)
}

/// The same for the sample model that adds another number.
pub fn expected_adding(input: &[i8], number: i16) -> Vec<i8> {
    let negated = input.iter().map(|value| (-i16::from(*value)).min(127));
    negated.map(|value| (value + number) as i8).collect()
}

/// Counts of what was done to a line.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Bytes that did not arrive.
    pub dropped: usize,
    /// Bytes that arrived changed.
    pub flipped: usize,
    /// Bytes that arrived twice.
    pub repeated: usize,
}

/// A line that damages bytes in both directions.
pub struct BadLine {
    line: Box<dyn Line>,
    random: fastrand::Rng,
    damage: Arc<Mutex<Damage>>,
    /// Called after each request.
    after: Box<dyn FnMut() + Send>,
}

impl BadLine {
    /// Damages what goes over `line`, the same for the same seed, and calls `after` after each request.
    pub fn new(line: impl Line + 'static, seed: u64, after: impl FnMut() + Send + 'static) -> Self {
        Self {
            line: Box::new(line),
            random: fastrand::Rng::with_seed(seed),
            damage: Arc::default(),
            after: Box::new(after),
        }
    }

    /// Bytes so far and to come.
    pub fn damage(&self) -> Arc<Mutex<Damage>> {
        Arc::clone(&self.damage)
    }

    fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut damage = self.damage.lock().expect("no panic holds it");
        let mut result = Vec::new();
        for &byte in bytes {
            if self.random.f64() >= FAULTS {
                result.push(byte);
                continue;
            }
            match self.random.u8(0..3) {
                0 => damage.dropped += 1,
                1 => {
                    damage.flipped += 1;
                    result.push(byte ^ self.random.u8(1..));
                }
                _ => {
                    damage.repeated += 1;
                    result.extend([byte; 2]);
                }
            }
        }
        result
    }
}

impl Line for BadLine {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = self.damaged(bytes);
        self.line.send(&bytes)?;
        (self.after)();
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        // Room for repeated bytes.
        let half = bytes.len() / 2;
        let count = self.line.receive(&mut bytes[..half], limit)?;
        let damaged = self.damaged(&bytes[..count]);
        bytes[..damaged.len()].copy_from_slice(&damaged);
        Ok(damaged.len())
    }
}

/// Offers a line as a TCP server to one client after the other, as serial servers do. A client that is gone may take one answer with it.
///
/// # Panics
/// If this machine has no port.
pub fn relay(line: TcpStream) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let clone = |stream: &TcpStream| stream.try_clone().expect("cloned");
            let (mut from_board, mut to_board) = (clone(&line), clone(&line));
            let (mut from_client, mut to_client) = (clone(&client), client);
            thread::spawn(move || io::copy(&mut from_client, &mut to_board));
            thread::spawn(move || io::copy(&mut from_board, &mut to_client));
        }
    });
    port
}
