//! Mutations that know nothing of what the bytes mean.

use fastrand::Rng;

/// Numbers at which something often changes.
const CORNERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    63,
    64,
    127,
    128,
    254,
    255,
    256,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    u64::MAX,
];

/// True in `percent` of 100 cases.
pub fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(0..100) < percent
}

/// One of several; there is at least one.
pub fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(0..from.len())]
}

/// Another number near or far of `old`.
pub fn number(rng: &mut Rng, old: u64) -> u64 {
    match rng.u8(0..10) {
        0 | 1 => old.wrapping_add(1),
        2 | 3 => old.wrapping_sub(1),
        4 => old ^ (1 << rng.u32(0..64)),
        5 => old.wrapping_mul(2),
        6 => old / 2,
        7 => u64::from(rng.u8(..)),
        8 => old.wrapping_add(u64::from(rng.u8(..))),
        _ => *pick(rng, &CORNERS),
    }
}

/// Changes some bytes, removes some, or puts others in.
pub fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 << rng.u32(0..4) {
        let length = bytes.len();
        if length == 0 {
            bytes.extend((0..rng.usize(1..16)).map(|_| rng.u8(..)));
            continue;
        }
        let at = rng.usize(0..length);
        let most = 1 << rng.u32(0..8);
        let run = rng.usize(1..=(length - at).min(most));
        match rng.u8(0..10) {
            0..3 => bytes[at] ^= 1 << rng.u32(0..8),
            3 => bytes[at] = rng.u8(..),
            4 => bytes[at] = number(rng, bytes[at].into()) as u8,
            5 => {
                bytes.drain(at..at + run);
            }
            6 => {
                let again = bytes[at..at + run].to_vec();
                bytes.splice(at..at, again);
            }
            7 => bytes.truncate(at),
            8 if !other.is_empty() => {
                let from = rng.usize(0..other.len());
                let to = (from + run).min(other.len());
                let end = (at + if chance(rng, 50) { to - from } else { 0 }).min(length);
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                // A little-endian number.
                let width = (1 << rng.usize(0..4)).min(length - at);
                let mut old = [0; 8];
                old[..width].copy_from_slice(&bytes[at..at + width]);
                let new = number(rng, u64::from_le_bytes(old)).to_le_bytes();
                bytes[at..at + width].copy_from_slice(&new[..width]);
            }
        }
    }
}

/// As [`mutate`], by lines and words.
pub fn mutate_text(rng: &mut Rng, text: &mut String, other: &str) {
    const NUMBERS: [&str; 14] = [
        "0",
        "-1",
        "1",
        "nan",
        "inf",
        "-inf",
        "1e308",
        "1e-45",
        "0.5",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "true",
        "\"\"",
    ];
    for _ in 0..1 << rng.u32(0..3) {
        let mut lines: Vec<&str> = text.lines().collect();
        let others: Vec<&str> = other.lines().collect();
        let at = rng.usize(0..=lines.len());
        *text = match rng.u8(0..8) {
            0 if at < lines.len() => {
                lines.remove(at);
                lines.join("\n")
            }
            1 | 2 if !others.is_empty() => {
                lines.insert(at, others[rng.usize(0..others.len())]);
                lines.join("\n")
            }
            3 if lines.len() > 1 => {
                let from = rng.usize(0..lines.len());
                let line = lines.remove(from);
                lines.insert(at.min(lines.len()), line);
                lines.join("\n")
            }
            4..7 if at < lines.len() => {
                // Another value.
                let key = lines[at].split('=').next().unwrap_or_default();
                let value = match rng.u8(0..3) {
                    0 => *pick(rng, &NUMBERS),
                    _ => {
                        let values = others
                            .iter()
                            .chain(&lines)
                            .filter_map(|l| l.split_once('='));
                        let values: Vec<&str> = values.map(|(_, value)| value.trim()).collect();
                        if values.is_empty() {
                            "1"
                        } else {
                            *pick(rng, &values)
                        }
                    }
                };
                let line = format!("{key}= {value}");
                lines[at] = &line;
                lines.join("\n")
            }
            _ => {
                let mut bytes = std::mem::take(text).into_bytes();
                mutate(rng, &mut bytes, other.as_bytes());
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
    }
}
