//! Tests of rounding.
