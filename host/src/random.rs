//! Repeatable random numbers.

/// A small deterministic random sequence (64-bit linear congruential generator, high bits used).
pub struct Sequence(u64);

impl Sequence {
    /// Starts a sequence; equal seeds give equal ones.
    pub fn new(seed: u64) -> Self {
        Sequence(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }

    /// A number in 0..1.
    pub fn unit(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u32 << 24) as f32
    }

    /// `count` numbers in `low..high`.
    pub fn values(&mut self, count: usize, low: f32, high: f32) -> Vec<f32> {
        (0..count)
            .map(|_| low + (high - low) * self.unit())
            .collect()
    }
}
