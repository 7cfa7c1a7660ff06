//! The rounding rule with words of 8 bits: all values.
//!
//! The source is the runtime's own; only the type of a word differs.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "the oracle's integers are wide enough"
)]

type Word = i8;
type Wide = i16;
type Unsigned = u8;

#[path = "word.rs"]
#[allow(clippy::duplicate_mod, reason = "that is its purpose")]
mod word;

/// Every word, every multiplier, negative ones too: `r - 1/2 <= t * m / 2^8 < r + 1/2`, in integers.
#[cfg_attr(miri, ignore = "too many numbers for an interpreter")]
#[test]
fn all_products_are_rounded_to_nearest_with_ties_up() {
    for t in Word::MIN..=Word::MAX {
        for m in Word::MIN..=Word::MAX {
            let product = 2 * i32::from(t) * i32::from(m);
            for r in [
                word::multiply_high(t, m),
                word::multiply_high_by_halves(t, m),
            ] {
                let r = 2 * i32::from(r);
                assert!(
                    (r - 1) << 8 <= product && product < (r + 1) << 8,
                    "{t} * {m}: {r} / 2"
                );
            }
        }
    }
}

/// Every accumulator and shift that (5) allows, every multiplier that the loader does, all zero points of an eighth of the width and
/// more, and ranges of every kind.
#[cfg_attr(miri, ignore = "too many numbers for an interpreter")]
#[test]
fn all_accumulators_become_the_nearest_outputs_in_range() {
    let mut checked = 0_u64;
    for pre_shift in 0..Word::BITS - 1 {
        let most = i32::from(Word::MAX) >> pre_shift;
        for acc in -most..=most {
            for m in 0..=Word::MAX {
                // The rational 2 * t * m, twice the product, rounded down after one half was added.
                let t = acc << pre_shift;
                let exact = (t * i32::from(m) + (1 << 7)).div_euclid(1 << 8);
                for zero_point in [-8, -3, 0, 7] {
                    for (min, max) in [(-8, 7), (-8, -8), (7, 7), (-2, 3), (-128, 127)] {
                        let r = word::multiply_high(word::shift(acc as Word, pre_shift), m);
                        let found = word::place(r, zero_point, min, max);
                        let r = exact + i32::from(zero_point);
                        let expected = r.clamp(min.into(), max.into());
                        assert_eq!(i32::from(found), expected, "{acc} << {pre_shift}, {m}");
                        checked += 1;
                    }
                }
            }
        }
    }
    assert_eq!(
        checked,
        (2 * (127 + 63 + 31 + 15 + 7 + 3 + 1) + 7) * 128 * 20
    );
}

#[cfg_attr(miri, ignore = "too many numbers for an interpreter")]
#[test]
fn all_sums_are_shifted_down_and_limited() {
    for v in Word::MIN..=Word::MAX {
        for shift in 0..Word::BITS {
            for min in Word::MIN..=Word::MAX {
                for max in [min, min / 2 + 63, Word::MAX] {
                    let expected = i32::from(v).div_euclid(1 << shift);
                    // A range the other way round has its end.
                    let expected = expected.max(min.into()).min(max.into());
                    let found = word::shift_and_limit(v, shift, min, max);
                    assert_eq!(i32::from(found), expected, "{v} >> {shift}");
                }
            }
        }
    }
}
