//! Integer-only inference of fewbit models on microcontrollers.
#![no_std]
