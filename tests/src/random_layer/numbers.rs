//! Random numbers with a liking for corners.
//!
//! Every distribution mixes ordinary values with the extremes of its range.

use crate::layer::Layer;
use fewbit_runtime::format::program::{Clamp, Requant};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random choices.
#[derive(Clone, Debug)]
pub struct Numbers(Source);

/// Source of choices.
#[derive(Clone, Debug)]
enum Source {
    Seed(Box<ChaCha8Rng>),
    /// Those of a list, the next one last.
    List(Vec<u64>),
}

impl Numbers {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Numbers(Source::Seed(Box::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// Choices out of a list, and behind its end the first of what there is to choose from: what shrinks the list, its length or its numbers, shrinks
    /// what is made of it.
    #[must_use]
    pub fn from_list(choices: &[u64]) -> Self {
        Numbers(Source::List(choices.iter().rev().copied().collect()))
    }

    /// The next choice, of any size.
    fn next(&mut self) -> u64 {
        match &mut self.0 {
            Source::Seed(generator) => generator.next_u64(),
            Source::List(choices) => choices.pop().unwrap_or(0),
        }
    }

    /// Draws many values. Out of a list, one choice is the seed of them all, so that lists stay short.
    pub fn many<T>(&mut self, draw: impl FnOnce(&mut Numbers) -> T) -> T {
        match &self.0 {
            Source::Seed(_) => draw(self),
            Source::List(_) => match self.next() {
                0 => draw(&mut Numbers::from_list(&[])),
                seed => draw(&mut Numbers::new(seed)),
            },
        }
    }

    /// A number of `low..=high`; the bias of about 2^-32 does not matter here.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "{low}..={high}");
        let span = high.abs_diff(low) as u128 + 1;
        low + ((u128::from(self.next()) * span) >> 64) as i64
    }

    /// As [`Numbers::range`], for sizes.
    pub fn size(&mut self, low: usize, high: usize) -> usize {
        self.range(low as i64, high as i64) as usize
    }

    /// An index into `len` things.
    pub fn index(&mut self, len: usize) -> usize {
        self.size(0, len - 1)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: i64) -> bool {
        self.range(0, 99) < percent
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// Any int8.
    pub fn byte(&mut self) -> i8 {
        self.range(-128, 127) as i8
    }

    /// A zero point, every second time an extreme one.
    pub fn zero_point(&mut self) -> i8 {
        match self.range(0, 3) {
            0 => -128,
            1 => 127,
            _ => self.byte(),
        }
    }

    /// Channels: mostly up to 40, sometimes many.
    pub fn channels(&mut self) -> usize {
        match self.range(0, 19) {
            0..9 => self.size(1, 12),
            9..18 => self.size(1, 40),
            _ => self.size(41, 160),
        }
    }

    /// Height and width; every fourth time a single row.
    pub fn plane(&mut self) -> (usize, usize) {
        match self.range(0, 7) {
            0 | 1 => (1, self.size(1, 40)),
            2 => (self.size(1, 20), 1),
            3 => (1, 1),
            _ => (self.size(1, 10), self.size(1, 10)),
        }
    }

    /// Activations: uniform, all equal to an extreme, extremes mixed, or near the zero point.
    pub fn activations(&mut self, count: usize, zero_point: i8) -> Vec<i8> {
        let mode = self.range(0, 9);
        self.many(|n| {
            (0..count)
                .map(|_| match mode {
                    0 => 127,
                    1 => -128,
                    2 => n.pick(&[-128, 127]),
                    3 => zero_point,
                    4 => zero_point.saturating_add(n.range(-3, 3) as i8),
                    _ => n.byte(),
                })
                .collect()
        })
    }

    /// Weights of at most `limit`: uniform, all equal to an extreme, extremes mixed, small, or zero.
    pub fn weights(&mut self, count: usize, limit: i8) -> Vec<i8> {
        let mode = self.range(0, 11);
        self.many(|n| {
            (0..count)
                .map(|_| match mode {
                    0 => limit,
                    1 => -limit,
                    2 => n.pick(&[-limit, limit]),
                    3 => n.range(-1, 1) as i8,
                    4 => 0,
                    _ => n.range(i64::from(-limit), i64::from(limit)) as i8,
                })
                .collect()
        })
    }

    /// Smallest and largest output: all, a fused Relu, any range, or a single value.
    pub fn clamp_pair(&mut self, zero_point: i8) -> (i8, i8) {
        match self.range(0, 9) {
            0..5 => (-128, 127),
            5 | 6 => (zero_point, 127),
            7 => {
                let value = self.byte();
                (value, value)
            }
            _ => {
                let (a, b) = (self.byte(), self.byte());
                (a.min(b), a.max(b))
            }
        }
    }

    /// A Q32 multiplier; `useful` is one that brings typical accumulators into the output's range.
    pub fn multiplier(&mut self, useful: f64) -> i32 {
        let largest = f64::from(i32::MAX);
        match self.range(0, 19) {
            0 => 0,
            1 => 1,
            2 => i32::MAX,
            3 => self.range(0, i64::from(i32::MAX)) as i32,
            4 => 1 << self.range(0, 30),
            // A power of two near the useful one: exact ties.
            5..8 => 1 << (useful.clamp(1.0, largest).log2() as u32).min(30),
            _ => (useful * self.range(1, 64) as f64 / 16.0).clamp(0.0, largest) as i32,
        }
    }

    /// A clamp for `channels` outputs.
    pub fn clamp(&mut self, layer: &mut Layer, channels: usize, zero_point: i8) -> Clamp {
        if self.chance(70) {
            let (min, max) = self.clamp_pair(zero_point);
            return Clamp::PerTensor { min, max };
        }
        let pairs: Vec<i8> = self.many(|n| {
            (0..channels)
                .flat_map(|_| <[i8; 2]>::from(n.clamp_pair(zero_point)))
                .collect()
        });
        Clamp::PerChannel {
            offset: layer.bytes(&pairs),
        }
    }

    /// A `pre_shift` that the bound (5) allows for accumulators up to `magnitude`; mostly 0.
    pub fn pre_shift(&mut self, magnitude: u64) -> u8 {
        let largest = (0..=30)
            .rev()
            .find(|shift| magnitude << shift < 1 << 31)
            .expect("the bound holds without a shift");
        if self.chance(70) {
            0
        } else {
            self.range(0, largest) as u8
        }
    }

    /// Requantization of accumulators that are typically around `typical`.
    pub fn requant(&mut self, layer: &mut Layer, by: &RequantShape) -> Requant {
        let useful = 2_f64.powi(32 - i32::from(by.pre_shift)) * 32.0 / by.typical.max(1.0);
        let multipliers: Vec<i32> = self.many(|n| {
            let one = |_| n.multiplier(useful);
            (0..by.multipliers).map(one).collect()
        });
        let clamp = self.clamp(layer, by.channels, by.zero_point);
        Requant {
            multipliers: layer.values(&multipliers),
            pre_shift: by.pre_shift,
            clamp,
        }
    }
}

/// Properties that a [`Requant`] depends on.
#[derive(Clone, Copy, Debug)]
pub struct RequantShape {
    /// Number of multipliers.
    pub multipliers: usize,
    /// Output channels.
    pub channels: usize,
    /// The output's.
    pub zero_point: i8,
    /// Left shift of the accumulators.
    pub pre_shift: u8,
    /// Typical magnitude of an accumulator.
    pub typical: f64,
}
