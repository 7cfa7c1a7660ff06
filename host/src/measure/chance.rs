//! Signs that the float network itself classifies no better than chance.

/// Smallest number of samples for which results can be distinguished from chance.
const FEWEST_SAMPLES: usize = 20;

/// Doubt about the float network's share of samples classified as labelled, if any.
pub(super) fn of_accuracy(top1: Option<f64>, samples: usize, classes: usize) -> Option<String> {
    let top1 = top1.filter(|_| samples >= FEWEST_SAMPLES && classes > 1)?;
    let chance = 1.0 / classes as f64;
    // Two standard deviations of what guessing gives.
    let deviation = (chance * (1.0 - chance) / samples as f64).sqrt();
    (top1 <= chance + 2.0 * deviation).then(|| {
        format!(
            "the float network itself classifies {:.1} % of the samples as labelled, which guessing does as well; \
             likely --input-divisor, --input-mean and --input-std are missing or wrong, or labels belong to other samples",
            100.0 * top1
        )
    })
}
