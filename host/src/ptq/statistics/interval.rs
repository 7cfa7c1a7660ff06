//! Interval arithmetic in f64.

/// The numbers from `low` to `high`, either of which may be infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// All numbers.
    pub(crate) const ALL: Interval = Interval {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };

    pub(crate) fn new(low: f64, high: f64) -> Interval {
        Interval { low, high }
    }

    /// The smallest interval that covers both.
    pub(crate) fn union(self, other: Interval) -> Interval {
        Interval::new(self.low.min(other.low), self.high.max(other.high))
    }

    /// The number within that is nearest to `x`.
    pub(crate) fn nearest(self, x: f64) -> f64 {
        x.max(self.low).min(self.high)
    }

    pub(crate) fn contains(self, x: f64) -> bool {
        self.low <= x && x <= self.high
    }

    /// All numbers instead of what an overflow left.
    pub(crate) fn repaired(self) -> Interval {
        let sound =
            self.low <= self.high && self.low < f64::INFINITY && self.high > f64::NEG_INFINITY;
        if sound { self } else { Interval::ALL }
    }

    pub(crate) fn plus(self, other: Interval) -> Interval {
        Interval::new(self.low + other.low, self.high + other.high)
    }

    /// All products with `factor`; 0 where the factor is 0.
    pub(crate) fn scaled(self, factor: f64) -> Interval {
        if factor == 0.0 {
            Interval::new(0.0, 0.0)
        } else if factor > 0.0 {
            Interval::new(self.low * factor, self.high * factor)
        } else {
            Interval::new(self.high * factor, self.low * factor)
        }
    }

    /// All products of a number of each.
    pub(crate) fn times(self, other: Interval) -> Interval {
        let product = |a: f64, b: f64| if a == 0.0 || b == 0.0 { 0.0 } else { a * b };
        let corners = [
            product(self.low, other.low),
            product(self.low, other.high),
            product(self.high, other.low),
            product(self.high, other.high),
        ];
        let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
        Interval::new(
            corners.into_iter().fold(low, f64::min),
            corners.into_iter().fold(high, f64::max),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_cover_the_corners_and_know_zero_times_infinity() {
        let product = Interval::new(-2.0, 3.0).times(Interval::new(-5.0, 1.0));
        assert_eq!(product, Interval::new(-15.0, 10.0));
        let product = Interval::new(0.0, f64::INFINITY).times(Interval::new(0.0, 2.0));
        assert_eq!(product, Interval::new(0.0, f64::INFINITY));
        assert_eq!(Interval::ALL.scaled(0.0), Interval::new(0.0, 0.0));
        assert_eq!(
            Interval::new(1.0, 2.0).scaled(-3.0),
            Interval::new(-6.0, -3.0)
        );
    }

    #[test]
    fn overflow_is_no_bound() {
        let over = Interval::new(f64::MAX, f64::MAX).scaled(2.0);
        assert_eq!(over.repaired(), Interval::ALL);
        let half = Interval::new(0.0, f64::INFINITY);
        assert_eq!(half.repaired(), half);
        assert_eq!(Interval::new(f64::NAN, 1.0).repaired(), Interval::ALL);
    }
}
