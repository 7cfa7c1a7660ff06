//! AdaRound: rounding up or down, learnt by gradient descent.
//!
//! Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (2020): a weight becomes `s * (floor(w / s) + h(v))` with the
//! rectified sigmoid `h`, equation (23); the loss is the layer's output error, equation (25), and a regularizer that drives `h` to 0 or 1,
//! equation (24), annealed by its exponent.

use super::problem::{LayerProblem, Watch};
use crate::recipe::AdaRoundOptions;

/// Adam's constants, as its authors recommend them.
const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Iterations between two reports.
const REPORT: usize = 50;

/// Learns the roundings of a layer. `gradient` writes the gradient of the output error by the real weights into its second argument and
/// returns the error.
pub(super) fn learn(
    problem: &LayerProblem<'_>,
    options: &AdaRoundOptions,
    watch: &mut Watch<'_>,
    mut gradient: impl FnMut(&[f32], &mut [f32]) -> f64,
) -> Vec<i8> {
    let mut relaxed = Relaxed::new(problem, options);
    let mut soft = vec![0.0_f32; problem.weights.len()];
    let mut slope = vec![0.0_f32; problem.weights.len()];
    for iteration in 0..options.iterations {
        relaxed.soften(&mut soft);
        let loss = gradient(&soft, &mut slope);
        relaxed.step(iteration, options, &mut slope);
        if iteration % REPORT == 0 {
            watch(iteration, loss);
        }
    }
    relaxed.hard()
}

/// State of a descent, one entry per weight.
struct Relaxed {
    /// Scale of the weight.
    scale: Vec<f32>,
    /// `floor(w / s)`.
    floor: Vec<f32>,
    /// The variables.
    v: Vec<f32>,
    /// `h` of the variables, and its derivative.
    h: Vec<f32>,
    derivative: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    max: f32,
    zeta: f32,
    gamma: f32,
}

impl Relaxed {
    fn new(problem: &LayerProblem<'_>, options: &AdaRoundOptions) -> Relaxed {
        let (zeta, gamma) = (options.zeta as f32, options.gamma as f32);
        let scale: Vec<f32> = problem
            .scales
            .iter()
            .flat_map(|&scale| std::iter::repeat_n(scale as f32, problem.k))
            .collect();
        let steps: Vec<f32> = problem
            .weights
            .iter()
            .zip(&scale)
            .map(|(weight, scale)| weight / scale)
            .collect();
        // h(v) starts at the fraction, so that the soft weights start as the float ones.
        let start = |step: &f32| {
            let fraction = step - step.floor();
            -libm::logf((zeta - gamma) / (fraction - gamma) - 1.0)
        };
        Relaxed {
            floor: steps.iter().map(|step| step.floor()).collect(),
            v: steps.iter().map(start).collect(),
            h: vec![0.0; steps.len()],
            derivative: vec![0.0; steps.len()],
            first: vec![0.0; steps.len()],
            second: vec![0.0; steps.len()],
            max: f32::from(problem.max),
            scale,
            zeta,
            gamma,
        }
    }

    /// `h` and its derivative, equation (23).
    fn rounding(&self, v: f32) -> (f32, f32) {
        let sigmoid = 1.0 / (1.0 + libm::expf(-v));
        let stretched = sigmoid * (self.zeta - self.gamma) + self.gamma;
        if (0.0..=1.0).contains(&stretched) {
            let slope = (self.zeta - self.gamma) * sigmoid * (1.0 - sigmoid);
            (stretched, slope)
        } else {
            (stretched.clamp(0.0, 1.0), 0.0)
        }
    }

    /// Writes the soft weights.
    fn soften(&mut self, soft: &mut [f32]) {
        for (place, soft) in soft.iter_mut().enumerate() {
            let (h, derivative) = self.rounding(self.v[place]);
            self.h[place] = h;
            self.derivative[place] = derivative;
            *soft = self.scale[place] * (self.floor[place] + h).clamp(-self.max, self.max);
        }
    }

    /// Moves the variables from where they were last softened; `slope`, the gradient by the soft weights, becomes the one by them.
    fn step(&mut self, iteration: usize, options: &AdaRoundOptions, slope: &mut [f32]) {
        let progress = iteration as f64 / options.iterations as f64;
        let annealed = (progress - options.warm_start) / (1.0 - options.warm_start);
        let beta = options.beta_end
            + 0.5
                * (options.beta_start - options.beta_end)
                * (1.0 + libm::cos(std::f64::consts::PI * annealed));
        let weight = if annealed < 0.0 {
            0.0
        } else {
            options.regularization as f32
        };
        let power = (iteration + 1) as i32;
        let rate = options.learning_rate as f32 * (1.0 - BETA_2.powi(power)).sqrt()
            / (1.0 - BETA_1.powi(power));
        let rounding = self.h.iter().zip(&self.derivative);
        for ((gradient, scale), (h, &derivative)) in
            (slope.iter_mut().zip(&self.scale)).zip(rounding)
        {
            *gradient *= scale;
            // Where the rounding is decided nothing moves it, and the power is what takes the time.
            if weight > 0.0 && derivative != 0.0 {
                let centred = 2.0 * h - 1.0;
                let regularizer = -2.0
                    * beta as f32
                    * centred.signum()
                    * libm::powf(centred.abs(), beta as f32 - 1.0);
                *gradient += weight * regularizer;
            }
            *gradient *= derivative;
        }
        // Apart, so that it is done in vectors.
        let means = self.first.iter_mut().zip(&mut self.second);
        for ((v, (first, second)), &gradient) in self.v.iter_mut().zip(means).zip(&*slope) {
            *first = BETA_1 * *first + (1.0 - BETA_1) * gradient;
            *second = BETA_2 * *second + (1.0 - BETA_2) * gradient * gradient;
            *v -= rate * *first / (second.sqrt() + EPSILON);
        }
    }

    fn hard(&self) -> Vec<i8> {
        let rounded = |(&v, floor): (&f32, &f32)| {
            let up = if self.rounding(v).0 >= 0.5 { 1.0 } else { 0.0 };
            (floor + up).clamp(-self.max, self.max) as i8
        };
        self.v.iter().zip(&self.floor).map(rounded).collect()
    }
}
