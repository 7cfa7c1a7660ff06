//! Tests of equalization.
