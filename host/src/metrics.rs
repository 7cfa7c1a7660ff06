//! Measures of accuracy.

/// Sums of a signal-to-quantization-noise ratio, collected in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sqnr {
    signal: f64,
    noise: f64,
}

impl Sqnr {
    /// Adds a reference and its quantized counterpart, of equal length.
    pub fn add(&mut self, reference: &[f32], quantized: &[f32]) {
        for (&reference, &quantized) in reference.iter().zip(quantized) {
            let (reference, quantized) = (f64::from(reference), f64::from(quantized));
            self.signal += reference * reference;
            self.noise += (quantized - reference) * (quantized - reference);
        }
    }

    /// `10 log10(sum reference^2 / sum (quantized - reference)^2)` in dB.
    ///
    /// `None` if that is not a finite number: without any noise or any signal.
    pub fn db(&self) -> Option<f64> {
        let db = 10.0 * libm::log10(self.signal / self.noise);
        db.is_finite().then_some(db)
    }
}

/// Index of the largest value; the first of equal ones. 0 for an empty slice.
pub fn arg_max<T: PartialOrd>(values: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Share of samples whose largest output is at their label, 0 to 1.
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

/// Errors of a network's outputs against targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regression {
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Coefficient of determination, over all outputs; `None` if the targets of every output are all the same.
    pub r2: Option<f64>,
}

impl Regression {
    /// Errors of the outputs of `samples` samples against their targets, in equal order; `None` if there are none or their numbers differ.
    ///
    /// `R2 = 1 - sum (output - target)^2 / sum (target - mean of the targets of that output)^2`.
    pub fn of(outputs: &[f32], targets: &[f32], samples: usize) -> Option<Regression> {
        if outputs.is_empty() || outputs.len() != targets.len() {
            return None;
        }
        let length = targets.len().checked_div(samples).filter(|&n| n > 0)?;
        let count = targets.len() as f64;
        let error = |(&output, &target): (&f32, &f32)| f64::from(output) - f64::from(target);
        let errors = || outputs.iter().zip(targets).map(error);
        let squares: f64 = errors().map(|error| error * error).sum();
        let spread: f64 = (0..length)
            .map(|place| {
                let of_place = || {
                    targets[place..]
                        .iter()
                        .step_by(length)
                        .copied()
                        .map(f64::from)
                };
                let mean = of_place().sum::<f64>() / samples as f64;
                of_place()
                    .map(|target| (target - mean).powi(2))
                    .sum::<f64>()
            })
            .sum();
        Some(Regression {
            rmse: (squares / count).sqrt(),
            mae: errors().map(f64::abs).sum::<f64>() / count,
            r2: (spread > 0.0).then(|| 1.0 - squares / spread),
        })
    }
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

    /// Against scikit-learn's `mean_squared_error`, `mean_absolute_error` and `r2_score`, with `multioutput="variance_weighted"` for two outputs:
    /// the examples of its documentation.
    #[test]
    fn errors_of_numbers_are_as_in_statistics() {
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-6;
        let one = Regression::of(&[2.5, 0.0, 2.0, 8.0], &[3.0, -0.5, 2.0, 7.0], 4).expect("some");
        assert!(
            near(one.rmse, 0.375_f64.sqrt()) && near(one.mae, 0.5),
            "{one:?}"
        );
        assert!(near(one.r2.expect("spread"), 0.948_608_137), "{one:?}");
        let (targets, outputs) = (
            [0.5, 1.0, -1.0, 1.0, 7.0, -6.0],
            [0.0, 2.0, -1.0, 2.0, 8.0, -5.0],
        );
        let two = Regression::of(&outputs, &targets, 3).expect("some");
        assert!(
            near(two.mae, 0.75) && near(two.rmse, (4.25_f64 / 6.0).sqrt()),
            "{two:?}"
        );
        assert!(near(two.r2.expect("spread"), 0.938_256_658), "{two:?}");
        assert_eq!(Regression::of(&[1.0], &[2.0], 1).expect("some").r2, None);
        assert_eq!(Regression::of(&[], &[], 0), None);
    }

    #[test]
    fn top1_counts_hits_and_takes_the_first_of_equals() {
        assert_eq!(top1(&[0, 3, 1, 5, 5, 2], &[1, 0]), Some(1.0));
        assert_eq!(top1(&[0, 3, 1, 5, 5, 2], &[1, 1]), Some(0.5));
        assert_eq!(top1::<i8>(&[], &[]), None);
    }
}
