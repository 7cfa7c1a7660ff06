//! Samples of a tensor in few bytes: a walk keeps those of two networks.

use crate::quantize::Encoding;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// Values of one tensor for some blocks of samples, as `B` keeps them.
#[derive(Clone, Debug)]
pub(crate) struct Store<B>(pub(crate) Vec<B>);

impl<B> Default for Store<B> {
    fn default() -> Self {
        Store(Vec::new())
    }
}

/// Values of a block of samples.
pub(crate) trait Block {
    /// Number of values.
    fn len(&self) -> usize;
    /// Appends the values in `range` to `values`.
    fn read(&self, range: Range<usize>, values: &mut Vec<f32>);
}

impl<B: Block> Store<B> {
    /// Values `of` each of `samples`, one sample after the other, of a tensor with so many `elements`.
    pub(crate) fn read(
        &self,
        samples: Range<usize>,
        elements: usize,
        of: Range<usize>,
    ) -> Vec<f32> {
        let mut values = Vec::with_capacity(samples.len() * of.len());
        let mut end = 0;
        for block in &self.0 {
            let first = end;
            end += block.len() / elements.max(1);
            let (start, stop) = (samples.start.max(first), samples.end.min(end));
            if start < stop {
                read_samples(
                    block,
                    start - first..stop - first,
                    elements,
                    &of,
                    &mut values,
                );
            }
        }
        values
    }
}

/// Appends the values `of` each of some samples of a block to `values`.
pub(crate) fn read_samples(
    block: &impl Block,
    samples: Range<usize>,
    elements: usize,
    of: &Range<usize>,
    values: &mut Vec<f32>,
) {
    if of.len() == elements {
        block.read(samples.start * elements..samples.end * elements, values);
        return;
    }
    for sample in samples {
        let first = sample * elements;
        block.read(first + of.start..first + of.end, values);
    }
}

/// Half precision, in a unit of the block's own, so that nothing overflows: 11 significant bits.
#[derive(Clone, Debug)]
pub(crate) struct Halves {
    unit: f32,
    values: Vec<f16>,
}

/// Largest magnitude in units.
const LARGEST: f32 = 32768.0;

impl Halves {
    pub(crate) fn new(values: &mut [f32]) -> Halves {
        let largest = values.iter().fold(0.0_f32, |m, value| m.max(value.abs()));
        // A power of two, which loses nothing.
        let unit = if largest > 0.0 && largest.is_finite() {
            libm::exp2f(libm::log2f(largest / LARGEST).ceil())
        } else {
            1.0
        };
        let unit = unit.max(f32::MIN_POSITIVE);
        values.iter_mut().for_each(|value| *value /= unit);
        let mut halves = vec![f16::ZERO; values.len()];
        halves.convert_from_f32_slice(values);
        Halves {
            unit,
            values: halves,
        }
    }
}

impl Block for Halves {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn read(&self, range: Range<usize>, values: &mut Vec<f32>) {
        let first = values.len();
        values.resize(first + range.len(), 0.0);
        self.values[range].convert_to_f32_slice(&mut values[first..]);
        values[first..]
            .iter_mut()
            .for_each(|value| *value *= self.unit);
    }
}

/// The integers of an encoding.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    encoding: Encoding,
    values: Vec<i8>,
}

impl Codes {
    pub(crate) fn new(values: &[f32], encoding: Encoding) -> Codes {
        Codes {
            encoding,
            values: values.iter().map(|&real| encoding.quantize(real)).collect(),
        }
    }
}

impl Block for Codes {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn read(&self, range: Range<usize>, values: &mut Vec<f32>) {
        let codes = self.values[range].iter();
        values.extend(codes.map(|&code| self.encoding.dequantize(code)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::blocks;
    use crate::range::Range as RealRange;
    use crate::testing::Sequence;

    #[test]
    fn any_samples_are_read_back() {
        let elements = 3;
        const BLOCK: usize = 8;
        let samples = 2 * BLOCK + 3;
        for scale in [1.0, 1e-20, 1e30, 0.0] {
            let values: Vec<f32> = (Sequence::new(1)
                .values(samples * elements, -1.0, 1.0)
                .iter())
            .map(|value| value * scale)
            .collect();
            let of = |block: Range<usize>| &values[block.start * elements..block.end * elements];
            let encoding = Encoding::asymmetric(RealRange {
                min: -scale,
                max: scale,
            });
            let halves = Store(
                blocks(samples, BLOCK)
                    .into_iter()
                    .map(|block| Halves::new(&mut of(block).to_vec()))
                    .collect(),
            );
            let codes = Store(
                blocks(samples, BLOCK)
                    .into_iter()
                    .map(|block| Codes::new(of(block), encoding))
                    .collect(),
            );
            for range in [0..samples, 0..1, 5..BLOCK + 1, BLOCK..BLOCK, 7..samples] {
                let wanted = of(range.clone());
                let found = halves.read(range.clone(), elements, 0..elements);
                assert_eq!(found.len(), wanted.len());
                for (found, wanted) in found.iter().zip(wanted) {
                    assert!((found - wanted).abs() <= wanted.abs() / 2048.0);
                }
                let found = codes.read(range.clone(), elements, 0..elements);
                let wanted: Vec<f32> = wanted.iter().map(|&v| encoding.fake_quantize(v)).collect();
                assert_eq!(found, wanted);
                for of in [0..1, 1..elements, 2..2] {
                    let samples = wanted.chunks_exact(elements);
                    let wanted: Vec<f32> = samples.flat_map(|s| &s[of.clone()]).copied().collect();
                    assert_eq!(codes.read(range.clone(), elements, of), wanted);
                }
            }
        }
    }
}
