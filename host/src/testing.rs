//! Helpers of the unit tests.

pub(crate) use crate::random::Sequence;

/// Asserts that two slices differ by at most `tolerance` everywhere.
#[track_caller]
pub(crate) fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance,
            "element {index}: found {found}, expected {expected}"
        );
    }
}
