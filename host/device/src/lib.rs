//! Boards: what they are, firmware for them, and ways to talk to them.
//!
#![doc = include_str!("../README.md")]
//!
//! A [`board::Board`] is read from the `boards/` folder of a [`repository::Repository`]. [`firmware`] builds a program around a blob for
//! it; [`semihosted::run`] runs one in the emulator over any number of inputs and returns what the board reported, and [`link`] talks to
//! one that runs, in the emulator or on a desk. [`setup`] finds or installs the toolchain and the emulators, [`bounds`] follows a
//! firmware's machine code.
//!
//! What takes long is told through the `log` crate at level `info`; a program that shows it installs a logger.

#![forbid(unsafe_code)]
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a closed pipe or a full disk must not end in a panic"
)]
#![cfg_attr(
    test,
    allow(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "the harness prints"
    )
)]

pub mod board;
pub mod bounds;
pub mod cpu_wrapper;
pub mod elf;
pub mod firmware;
mod install;
pub mod link;
pub mod probe;
pub mod process;
mod progress;
pub mod qemu;
mod report;
pub mod repository;
pub mod sample;
pub mod semihosted;
pub mod setup;
pub mod toolchain;
