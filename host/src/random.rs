//! Repeatable random numbers: the same on every machine, in every version.
//!
//! Blobs and test vectors depend on both sequences, so neither may change: [`Sequence`] draws real numbers and choices of
//! the quantizer, [`Random`] the bytes and numbers of random inputs.

/// A small deterministic random sequence (64-bit linear congruential generator, high bits used).
pub struct Sequence(u64);

impl Sequence {
    /// Starts a sequence; equal seeds give equal ones.
    pub fn new(seed: u64) -> Self {
        Sequence(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }

    /// Goes on from this state, which is not mixed.
    pub(crate) fn from_state(state: u64) -> Self {
        Sequence(state)
    }

    /// A number in 0..1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// `count` numbers in `low..high`.
    pub fn values(&mut self, count: usize, low: f32, high: f32) -> Vec<f32> {
        (0..count)
            .map(|_| low + (high - low) * self.unit())
            .collect()
    }

    /// An index below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0
    }
}

/// SplitMix64: a generator of a few lines, all of whose bits are good.
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

    /// The next number in 0..1, of 24 bits.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 * (1.0 / 16_777_216.0)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_those_that_blobs_were_made_with() {
        // First outputs of SplitMix64 for seed 1234567, as its reference implementation prints them.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
        // The multiplier and increment of Knuth's MMIX, from state 1.
        let mut sequence = Sequence::from_state(1);
        assert_eq!(sequence.next(), 7_806_831_264_735_756_412);
        assert_eq!(sequence.next(), 9_396_908_728_118_811_419);
        let mut choices = Sequence::from_state(1);
        assert_eq!([choices.below(10), choices.below(10)], [4, 3]);
    }
}
