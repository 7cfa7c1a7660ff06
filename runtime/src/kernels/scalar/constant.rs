//! A tensor out of the weights section, equation (19).

use core::cell::Cell;

/// Copies `data` to `output`.
pub(in super::super) fn constant(data: &[i8], output: &[Cell<i8>]) {
    for (y, x) in output.iter().zip(data) {
        y.set(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::outputs;
    use super::*;

    #[test]
    fn bytes_are_copied() {
        assert_eq!(outputs(3, |y| constant(&[1, -2, 3], y)), [1, -2, 3]);
    }
}
