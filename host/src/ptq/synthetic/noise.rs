//! Noise in place of images.
//!
//! Smooth as photographs are: octaves of interpolated values, what all channels share and what each has alone, at an image's own contrast.

use crate::dataset::Dataset;
use crate::graph::Graph;
use crate::random::Sequence;
use crate::range::Range;

/// Distribution of the noise of one of the network's inputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) range: Range,
    /// Mean per channel.
    pub(super) mean: Vec<f32>,
    /// Standard deviation of each octave of an image's noise, coarsest first.
    pub(super) octaves: Vec<Octave>,
    /// Standard deviation of the logarithm of an image's contrast.
    pub(super) contrast: f32,
}

/// Standard deviations of one octave of noise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Octave {
    /// Deviation of the part that all channels share.
    pub(super) common: f32,
    /// Deviation of the part of each channel alone.
    pub(super) own: f32,
}

impl Octave {
    pub(super) fn variance(self) -> f32 {
        self.common * self.common + self.own * self.own
    }

    pub(super) fn scaled(self, common: f32, own: f32) -> Octave {
        Octave {
            common: self.common * common,
            own: self.own * own,
        }
    }
}

/// Share of an image's deviation that all its channels have in common, where nothing is known: about that of photographs. The squares of both add up to 1.
const COMMON: f32 = 0.9;
const OWN: f32 = 0.436;

impl Spread {
    /// Initial noise, before the network is analysed: half of the range is about four deviations, every octave has the same power.
    pub(super) fn of(range: Range, shape: &[usize]) -> Spread {
        let octaves = image(shape).map_or(0, |[h, w, _]| cells(h, w).len());
        let each = 0.25 * (range.max - range.min) / (octaves.max(1) as f32).sqrt();
        let octave = Octave {
            common: COMMON * each,
            own: OWN * each,
        };
        Spread {
            range,
            mean: vec![0.5 * (range.min + range.max); shape.last().copied().unwrap_or(1)],
            octaves: vec![octave; octaves],
            contrast: 0.0,
        }
    }

    pub(super) fn deviation(&self) -> f32 {
        let variances = self.octaves.iter().map(|octave| octave.variance());
        variances.sum::<f32>().sqrt()
    }

    pub(super) fn is_image(&self) -> bool {
        !self.octaves.is_empty()
    }

    /// Contrast of the sample at this place: logarithms fill their interval evenly, the mean square is 1.
    fn contrast_of(&self, place: usize) -> f32 {
        let half = 3.0_f64.sqrt() * f64::from(self.contrast);
        if half == 0.0 {
            return 1.0;
        }
        // Multiples of the golden ratio are spread evenly however many there are.
        let part = (place as f64 + 0.5) * 0.618_033_988_749_894_9 % 1.0;
        let square = libm::sinh(2.0 * half) / (2.0 * half);
        (libm::exp(half * (2.0 * part - 1.0)) / square.sqrt()) as f32
    }

    /// The sample at this place, of an input of this shape.
    pub(super) fn draw(&self, random: &mut Sequence, place: usize, shape: &[usize]) -> Vec<f32> {
        let Range { min, max } = self.range;
        let Some(size) = image(shape) else {
            // Of features nothing is known but where they lie.
            return random.values(shape.iter().product(), min, max);
        };
        let mut values = smooth(random, size, &self.octaves);
        let contrast = self.contrast_of(place);
        for pixel in values.chunks_exact_mut(size[2]) {
            for (value, mean) in pixel.iter_mut().zip(&self.mean) {
                *value = (mean + contrast * *value).clamp(min, max);
            }
        }
        values
    }
}

/// Height, width and channels of an image.
pub(super) fn image(shape: &[usize]) -> Option<[usize; 3]> {
    match *shape {
        [h, w, c] if h * w > 1 => Some([h, w, c]),
        _ => None,
    }
}

/// Numbers close to a normal distribution with mean 0 and deviation 1.
fn normal(random: &mut Sequence, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| (0..12).map(|_| random.unit()).sum::<f32>() - 6.0)
        .collect()
}

/// Octaves of noise, added up; mean about 0.
pub(super) fn smooth(random: &mut Sequence, [h, w, c]: [usize; 3], octaves: &[Octave]) -> Vec<f32> {
    let mut values = vec![0.0; h * w * c];
    for (cell, octave) in cells(h, w).into_iter().zip(octaves) {
        if octave.variance() == 0.0 {
            continue;
        }
        let common = bilinear(random, [h, w], cell);
        for channel in 0..c {
            let own = bilinear(random, [h, w], cell);
            for (pixel, (common, own)) in common.iter().zip(&own).enumerate() {
                values[pixel * c + channel] += octave.common * common + octave.own * own;
            }
        }
    }
    values
}

/// Sizes of the cells of all octaves in pixels, from the whole image to one.
fn cells(h: usize, w: usize) -> Vec<usize> {
    let smaller = |cell: &usize| (*cell > 1).then(|| cell.div_ceil(2));
    std::iter::successors(Some(h.max(w)), smaller).collect()
}

/// Independent values at the corners of cells, interpolated between them; mean 0, variance about 1.
fn bilinear(random: &mut Sequence, [h, w]: [usize; 2], cell: usize) -> Vec<f32> {
    let (rows, columns) = (h.div_ceil(cell) + 1, w.div_ceil(cell) + 1);
    let grid = normal(random, rows * columns);
    // Between independent corners the variance falls: its mean along a side is that of `t^2 + (1 - t)^2`, over the pixels of a cell.
    let along = |t: f32| t * t + (1.0 - t) * (1.0 - t);
    let pixels = (0..cell).map(|pixel| along(pixel as f32 / cell as f32));
    let scale = cell as f32 / pixels.sum::<f32>();
    let mut values = Vec::with_capacity(h * w);
    for y in 0..h {
        for x in 0..w {
            let (iy, ix) = (y / cell, x / cell);
            let (ty, tx) = (
                (y % cell) as f32 / cell as f32,
                (x % cell) as f32 / cell as f32,
            );
            let at = |y: usize, x: usize| grid[y.min(rows - 1) * columns + x.min(columns - 1)];
            let top = at(iy, ix) * (1.0 - tx) + at(iy, ix + 1) * tx;
            let bottom = at(iy + 1, ix) * (1.0 - tx) + at(iy + 1, ix + 1) * tx;
            values.push(scale * (top * (1.0 - ty) + bottom * ty));
        }
    }
    values
}

/// Samples of inputs that are distributed so.
pub(super) fn drawn(graph: &Graph, spreads: &[Spread], samples: usize, seed: u64) -> Dataset {
    let mut random = Sequence::new(seed);
    let mut inputs = Vec::new();
    for sample in 0..samples {
        for (input, spread) in graph.inputs.iter().zip(spreads) {
            let shape = &graph.tensors[input.tensor].shape;
            inputs.extend(spread.draw(&mut random, sample, shape));
        }
    }
    Dataset {
        inputs,
        samples,
        labels: None,
        targets: None,
    }
}
