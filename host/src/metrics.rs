//! Measures of accuracy.

/// Sums of a signal-to-quantization-noise ratio, to be fed piece by piece.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sqnr {
    signal: f64,
    noise: f64,
}

impl Sqnr {
    /// Takes in a reference and its quantized counterpart, of equal length.
    pub fn add(&mut self, reference: &[f32], quantized: &[f32]) {
        for (&reference, &quantized) in reference.iter().zip(quantized) {
            let (reference, quantized) = (f64::from(reference), f64::from(quantized));
            self.signal += reference * reference;
            self.noise += (quantized - reference) * (quantized - reference);
        }
    }

    /// `10 log10(sum reference^2 / sum (quantized - reference)^2)` in dB.
    ///
    /// `None` where that is no finite number: without any noise or any signal.
    pub fn db(&self) -> Option<f64> {
        let db = 10.0 * (self.signal / self.noise).log10();
        db.is_finite().then_some(db)
    }
}

/// The index of the largest value; the first of equals. 0 for an empty slice.
pub fn arg_max<T: PartialOrd>(values: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Share of samples whose largest output is at their label.
pub fn top1<T: PartialOrd>(outputs: &[T], labels: &[u32]) -> Option<f64> {
    let classes = outputs
        .len()
        .checked_div(labels.len())
        .filter(|&classes| classes > 0)?;
    let hits = outputs
        .chunks_exact(classes)
        .zip(labels)
        .filter(|(output, label)| arg_max(output) as u32 == **label)
        .count();
    Some(hits as f64 / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_noise_is_twenty_decibels() {
        let mut sqnr = Sqnr::default();
        sqnr.add(&[1.0, -1.0], &[1.1, -0.9]);
        assert!((sqnr.db().expect("finite") - 20.0).abs() < 1e-5);
        assert_eq!(Sqnr::default().db(), None);
        let mut exact = Sqnr::default();
        exact.add(&[1.0], &[1.0]);
        assert_eq!(exact.db(), None);
    }

    #[test]
    fn top1_counts_hits_and_takes_the_first_of_equals() {
        assert_eq!(top1(&[0, 3, 1, 5, 5, 2], &[1, 0]), Some(1.0));
        assert_eq!(top1(&[0, 3, 1, 5, 5, 2], &[1, 1]), Some(0.5));
        assert_eq!(top1::<i8>(&[], &[]), None);
    }
}
