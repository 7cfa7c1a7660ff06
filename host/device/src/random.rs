//! Random bytes that a seed repeats.

/// SplitMix64: a generator of a few lines, the same on every machine and in every version.
pub struct Random(u64);

impl Random {
    /// A generator that starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next `count` values, evenly spread over int8.
    pub fn bytes(&mut self, count: usize) -> Vec<i8> {
        (0..count)
            .map(|_| (self.next() >> 56) as u8 as i8)
            .collect()
    }

    /// The next value, evenly spread over `0..limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
