//! Minimum of a smooth convex function of many variables.

/// Pairs of steps and gradients that the curvature is taken from.
const MEMORY: usize = 12;

/// Halvings of a step before the search gives up.
const HALVINGS: usize = 20;

/// Limited-memory BFGS (Nocedal, "Updating Quasi-Newton Matrices with Limited Storage", 1980) with backtracking, from `start`.
///
/// `function` writes the gradient into its second argument and returns the value. Ends after `iterations`, or when the value falls by less than
/// `tolerance` of itself over ten of them.
pub(super) fn minimize(
    start: Vec<f64>,
    iterations: usize,
    tolerance: f64,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Vec<f64> {
    let mut x = start;
    let mut gradient = vec![0.0; x.len()];
    let mut value = function(&x, &mut gradient);
    let mut history: std::collections::VecDeque<(Vec<f64>, Vec<f64>, f64)> =
        std::collections::VecDeque::new();
    let mut next = vec![0.0; x.len()];
    let mut next_gradient = vec![0.0; x.len()];
    let mut checkpoint = value;
    for iteration in 1..=iterations {
        let mut direction = descent(&gradient, &history);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            history.clear();
            direction = descent(&gradient, &history);
            slope = dot(&direction, &gradient);
        }
        if slope == 0.0 || !slope.is_finite() {
            break;
        }
        // The first step has no curvature to go by.
        let mut step = if history.is_empty() {
            0.5 / direction
                .iter()
                .fold(0.0_f64, |m, d| m.max(d.abs()))
                .max(1e-300)
        } else {
            1.0
        };
        let mut accepted = None;
        for _ in 0..HALVINGS {
            for ((next, x), d) in next.iter_mut().zip(&x).zip(&direction) {
                *next = x + step * d;
            }
            let found = function(&next, &mut next_gradient);
            if found <= value + 1e-4 * step * slope {
                accepted = Some(found);
                break;
            }
            step *= 0.5;
        }
        let Some(found) = accepted else {
            if history.is_empty() {
                break;
            }
            history.clear();
            continue;
        };
        let moved: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = next_gradient
            .iter()
            .zip(&gradient)
            .map(|(a, b)| a - b)
            .collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-12 * dot(&turned, &turned) {
            history.push_back((moved, turned, 1.0 / curvature));
            if history.len() > MEMORY {
                history.pop_front();
            }
        }
        std::mem::swap(&mut x, &mut next);
        std::mem::swap(&mut gradient, &mut next_gradient);
        value = found;
        if iteration % 10 == 0 {
            if checkpoint - value <= tolerance * value.abs() {
                break;
            }
            checkpoint = value;
        }
    }
    x
}

/// Minus the gradient times the inverse curvature that the history tells: the two-loop recursion.
fn descent(
    gradient: &[f64],
    history: &std::collections::VecDeque<(Vec<f64>, Vec<f64>, f64)>,
) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(history.len());
    for (moved, turned, inverse) in history.iter().rev() {
        let share = inverse * dot(moved, &direction);
        add(&mut direction, -share, turned);
        shares.push(share);
    }
    if let Some((_, turned, inverse)) = history.back() {
        let scale = 1.0 / (inverse * dot(turned, turned));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((moved, turned, inverse), share) in history.iter().zip(shares.into_iter().rev()) {
        let back = inverse * dot(turned, &direction);
        add(&mut direction, share - back, moved);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(sum: &mut [f64], factor: f64, values: &[f64]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_exponentials_reaches_its_minimum() {
        // ln(sum of exp): convex, minimum where x = (ln 2) / 2 and y = 0 for exp(x) + 2 exp(-x) + exp(y) + exp(-y).
        let found = minimize(vec![3.0, -2.0], 200, 1e-14, |at, gradient| {
            let terms = [
                at[0].exp(),
                2.0 * (-at[0]).exp(),
                at[1].exp(),
                (-at[1]).exp(),
            ];
            let sum: f64 = terms.iter().sum();
            gradient[0] = (terms[0] - terms[1]) / sum;
            gradient[1] = (terms[2] - terms[3]) / sum;
            sum.ln()
        });
        assert!((found[0] - 0.5 * 2f64.ln()).abs() < 1e-6, "{found:?}");
        assert!(found[1].abs() < 1e-6, "{found:?}");
    }
}
