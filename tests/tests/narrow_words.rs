//! The runtime's own rounding rule, compiled for words of 16 bits: all products.
//!
//! The file is the runtime's; only what it calls a word is another type. The unit tests beside it do the same with words of
//! 8 bits, with shifts, zero points and ranges.

use rayon::prelude::*;

type Word = i16;
type Wide = i32;
type Unsigned = u16;

#[path = "../../runtime/src/arith/word.rs"]
#[allow(dead_code, reason = "what is not gone through here is so with 8 bits")]
mod word;

/// `r - 1/2 <= t * m / 2^16 < r + 1/2`, which one integer fulfils.
fn is_nearest(t: Word, m: Word, r: Word) -> bool {
    let product = i64::from(t) * i64::from(m);
    let rounded = i64::from(r) << 16;
    (rounded - (1 << 15)..rounded + (1 << 15)).contains(&product)
}

#[test]
fn all_products_are_rounded_to_nearest_with_ties_up() {
    let wrong = (Word::MIN..=Word::MAX).into_par_iter().find_map_any(|t| {
        (0..=Word::MAX).find_map(|m| {
            let r = word::multiply_high(t, m);
            let by_halves = word::multiply_high_by_halves(t, m);
            (!is_nearest(t, m, r) || r != by_halves).then_some((t, m, r, by_halves))
        })
    });
    assert_eq!(wrong, None);
    // Multipliers below 0 are refused by the loader, and right all the same.
    for t in [Word::MIN, -12345, -1, 0, 1, 12345, Word::MAX] {
        for m in Word::MIN..0 {
            let r = word::multiply_high(t, m);
            assert!(is_nearest(t, m, r) && r == word::multiply_high_by_halves(t, m));
        }
    }
}
