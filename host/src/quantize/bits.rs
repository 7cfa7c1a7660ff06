//! Widths of activations.

/// Width of the integers of an activation tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bits {
    /// 8 bits, -128..=127.
    #[default]
    Int8,
}

impl Bits {
    /// The number of bits.
    pub const fn count(self) -> u32 {
        match self {
            Bits::Int8 => 8,
        }
    }

    /// The smallest integer.
    pub const fn min(self) -> i32 {
        -(1 << (self.count() - 1))
    }

    /// The largest integer.
    pub const fn max(self) -> i32 {
        (1 << (self.count() - 1)) - 1
    }

    /// The number of integers.
    pub const fn levels(self) -> u32 {
        1 << self.count()
    }

    /// Steps from the smallest to the largest integer.
    pub const fn steps(self) -> u32 {
        self.levels() - 1
    }
}
