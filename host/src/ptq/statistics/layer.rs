//! Sums of products: layers, BatchNorms, and the elementwise sum and product.

use super::{Channel, Interval};
use crate::graph::{BatchNorm, Conv2d, Linear};
use crate::parallel;

/// Output channels of a convolution; the weights of a row are `[h][w][in]`.
pub(super) fn convolution(conv: &Conv2d, input: &[Channel], n: f64) -> Vec<Channel> {
    let per_group = (conv.in_channels / conv.groups.max(1)).max(1);
    let rows_per_group = (conv.linear.out_channels / conv.groups.max(1)).max(1);
    let padded = conv.window.is_padded();
    let seen = |&channel: &Channel| if padded { channel.with_zero() } else { channel };
    let input: Vec<Channel> = input.iter().map(seen).collect();
    layer(&conv.linear, n, |row| {
        let first = row / rows_per_group * per_group;
        &input[first..first + per_group]
    })
}

/// Output channels of a fully connected layer, whose input may have any shape.
pub(super) fn fully_connected(linear: &Linear, input: &[Channel], n: f64) -> Vec<Channel> {
    layer(linear, n, |_| input)
}

/// `inputs(row)` are the channels that the weights of a row meet, over and over.
fn layer<'a>(
    linear: &Linear,
    n: f64,
    inputs: impl Fn(usize) -> &'a [Channel] + Sync,
) -> Vec<Channel> {
    let length = linear.weights_per_channel().max(1);
    parallel::map(linear.weights.len() / length, |index| {
        let row = &linear.weights[index * length..][..length];
        let mut output = Sum::new(f64::from(linear.bias[index]));
        for (&weight, channel) in row.iter().zip(inputs(index).iter().cycle()) {
            output.add(f64::from(weight), channel);
        }
        match &linear.folded {
            Some(norm) => known(norm, index, output.hard, n),
            None => output.correlated(n),
        }
    })
}

/// Outputs of a BatchNorm that joined no layer.
pub(super) fn batch_norm(norm: &BatchNorm, input: &[Channel], n: f64) -> Vec<Channel> {
    let output = |(index, channel): (usize, &Channel)| {
        let (scale, shift) = norm.scale_and_shift(index);
        let mut sum = Sum::new(shift);
        sum.add(scale, channel);
        if norm.has_statistics() {
            known(norm, index, sum.hard, n)
        } else {
            // One product only: its values are no sum that could be wider.
            sum.channel(0.0)
        }
    };
    input.iter().enumerate().map(output).collect()
}

/// A channel whose distribution a BatchNorm tells: mean beta, standard deviation |gamma|.
fn known(norm: &BatchNorm, index: usize, hard: Interval, n: f64) -> Channel {
    let std = f64::from(norm.gamma[index]).abs();
    let deviations = Interval::new(-n * std, n * std);
    Channel::new(f64::from(norm.beta[index]), std * std, hard, deviations)
}

/// `a + sign * b`.
pub(super) fn sum(a: Channel, b: Channel, sign: f64) -> Channel {
    let mut sum = Sum::new(0.0);
    sum.add(1.0, &a);
    sum.add(sign, &b);
    sum.channel(0.0)
}

/// `a * b`, independent of each other.
pub(super) fn product(a: Channel, b: Channel) -> Channel {
    let hard = a.hard.times(b.hard).repaired();
    let likely = a.likely.times(b.likely);
    let variance =
        a.variance * b.variance + a.variance * b.mean * b.mean + b.variance * a.mean * a.mean;
    Channel {
        mean: hard.nearest(a.mean * b.mean),
        variance,
        hard,
        likely: Interval::new(hard.nearest(likely.low), hard.nearest(likely.high)),
    }
}

/// A weighted sum of independent values.
struct Sum {
    mean: f64,
    variance: f64,
    hard: Interval,
    /// Sums of the squares of how far the likely values reach, below and above.
    reach: [f64; 2],
    /// Sums of how far they reach: what the sum would reach if its parts moved together.
    together: [f64; 2],
}

impl Sum {
    fn new(bias: f64) -> Sum {
        Sum {
            mean: bias,
            variance: 0.0,
            hard: Interval::new(bias, bias),
            reach: [0.0; 2],
            together: [0.0; 2],
        }
    }

    fn add(&mut self, weight: f64, channel: &Channel) {
        self.mean += weight * channel.mean;
        self.variance += weight * weight * channel.variance;
        self.hard = self.hard.plus(channel.hard.scaled(weight));
        let deviations = channel.deviations().scaled(weight);
        self.reach[0] += deviations.low * deviations.low;
        self.reach[1] += deviations.high * deviations.high;
        self.together[0] -= deviations.low;
        self.together[1] += deviations.high;
    }

    /// As [`Sum::channel`], for parts that a network made, which are not independent: features of a class come together. How much
    /// nobody knows without data; the geometric mean of no and of full correlation is taken. Too wide a range costs a bit, one too narrow
    /// the result.
    fn correlated(self, n: f64) -> Channel {
        let together = self.together;
        let channel = self.channel(n);
        let reach = channel.deviations();
        let wider =
            |independent: f64, together: f64| (independent * together).sqrt().max(independent);
        let deviations = Interval::new(
            -wider(-reach.low, together[0]),
            wider(reach.high, together[1]),
        );
        Channel::new(channel.mean, channel.variance, channel.hard, deviations)
    }

    /// Deviations add as standard deviations do; those of skewed parts reach further than `n` standard deviations of the sum, those of
    /// bounded parts less far, and the wider of the two is taken.
    fn channel(self, n: f64) -> Channel {
        let normal = n * self.variance.sqrt();
        let [below, above] = self.reach.map(|reach| reach.sqrt().max(normal));
        Channel::new(
            self.mean,
            self.variance,
            self.hard,
            Interval::new(-below, above),
        )
    }
}
