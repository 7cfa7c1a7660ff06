//! Boards: their descriptions, firmware for them, and connections to them.
//!
#![doc = include_str!("../README.md")]
//!
//! A [`board::Board`] is read from the `boards/` folder of a [`repository::Repository`]. [`firmware`] builds a program with a blob for
//! it; [`semihosted::run`] runs one in the emulator over any number of inputs and returns the board's report, and [`link`] communicates with
//! a running one, in the emulator or on a cable. [`setup`] finds or installs the toolchain and the emulators, [`bounds`] analyses a
//! firmware's machine code.
//!
//! Steps that take long are reported through the `log` crate at level `info`; a program that shows them installs a logger.

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
