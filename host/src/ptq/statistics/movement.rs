//! Operators that move elements: channels keep, join or mix their statistics.

use super::Channel;

fn mixed(parts: &[Channel]) -> Channel {
    let share = 1.0 / parts.len().max(1) as f64;
    Channel::mixture(&parts.iter().map(|&part| (share, part)).collect::<Vec<_>>())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Elements keep their order: output channel `j` of `count` takes from the input channels equal to it modulo the common divisor.
pub(super) fn reshape(input: &[Channel], count: usize) -> Vec<Channel> {
    let divisor = gcd(input.len(), count).max(1);
    let classes: Vec<Channel> = (0..divisor)
        .map(|class| {
            let parts: Vec<_> = input.iter().skip(class).step_by(divisor).copied().collect();
            mixed(&parts)
        })
        .collect();
    (0..count).map(|index| classes[index % divisor]).collect()
}

/// Channels stay where they are, or every channel becomes one of another axis, along which all mix.
pub(super) fn transpose(input: &[Channel], perm: &[usize], count: usize) -> Vec<Channel> {
    match perm.last() {
        Some(&last) if last + 1 != perm.len() => vec![mixed(input); count],
        _ => input.to_vec(),
    }
}

/// The axis along which tensors are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinAxis {
    Channels,
    /// Rows or columns.
    Pixels,
}

/// Joined along the channels, or mixed in proportion to the sizes along another axis.
pub(super) fn concat(inputs: &[&[Channel]], sizes: &[usize], axis: JoinAxis) -> Vec<Channel> {
    if axis == JoinAxis::Channels {
        return inputs.concat();
    }
    let total = sizes.iter().sum::<usize>().max(1) as f64;
    let count = inputs.first().map_or(0, |input| input.len());
    (0..count)
        .map(|index| {
            let parts = inputs.iter().zip(sizes);
            let parts: Vec<_> = parts
                .map(|(input, &size)| (size as f64 / total, input[index]))
                .collect();
            Channel::mixture(&parts)
        })
        .collect()
}

/// `shape` is the output's.
pub(super) fn pad(
    input: &[Channel],
    shape: &[usize],
    before: &[usize],
    after: &[usize],
    value: f64,
) -> Vec<Channel> {
    let border = Channel::constant(value);
    let last = shape.len().saturating_sub(1);
    // Share of a channel's elements that are the input's.
    let inner: f64 = (0..last)
        .map(|axis| 1.0 - (before[axis] + after[axis]) as f64 / shape[axis].max(1) as f64)
        .product();
    let inside = |&channel: &Channel| match inner < 1.0 {
        true => Channel::mixture(&[(inner, channel), (1.0 - inner, border)]),
        false => channel,
    };
    let pads = |pads: &[usize]| vec![border; pads.last().copied().unwrap_or(0)];
    let mut output = pads(before);
    output.extend(input.iter().map(inside));
    output.extend(pads(after));
    output
}

/// Constants, in rows of `count` channels.
pub(super) fn constant(values: &[f32], count: usize) -> Vec<Channel> {
    let values: Vec<_> = (values.iter())
        .map(|&value| Channel::constant(f64::from(value)))
        .collect();
    reshape(&values, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_mix_within_their_channel() {
        let found = constant(&[1.0, 10.0, 3.0, 10.0], 2);
        assert_eq!((found[0].mean, found[0].variance), (2.0, 1.0));
        assert_eq!((found[0].hard.low, found[0].hard.high), (1.0, 3.0));
        assert_eq!(found[1], Channel::constant(10.0));
    }

    #[test]
    fn a_flattened_image_repeats_its_channels() {
        let input = [1.0, 2.0, 3.0].map(Channel::constant);
        let means = |output: Vec<Channel>| output.iter().map(|c| c.mean).collect::<Vec<_>>();
        assert_eq!(means(reshape(&input, 6)), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        assert_eq!(means(reshape(&input, 2)), [2.0, 2.0]);
        assert_eq!(means(transpose(&input, &[1, 0], 2)), [2.0, 2.0]);
        assert_eq!(means(transpose(&input, &[1, 0, 2], 3)), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn pads_and_concats_mix_by_their_share() {
        let input = [Channel::constant(2.0)];
        let padded = pad(&input, &[4, 3], &[1, 0], &[1, 2], 0.0);
        assert_eq!((padded[0].mean, padded[0].variance), (1.0, 1.0));
        assert_eq!(padded[1..], [Channel::constant(0.0); 2]);
        let other = [Channel::constant(-2.0)];
        let joined = concat(&[&input, &other], &[3, 1], JoinAxis::Pixels);
        assert_eq!((joined[0].mean, joined[0].variance), (1.0, 3.0));
        assert_eq!(
            concat(&[&input, &other], &[1, 1], JoinAxis::Channels),
            [input[0], other[0]]
        );
    }
}
