//! Division of a node's work into tasks.
//!
//! No tile adds to another one's sums, and no sum depends on where a tile ends: results are the same bits however many threads and
//! samples there are.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::aligned::Aligned;
use crate::parallel;

/// Number of operations (multiply-accumulates, or elements moved) below which passing tasks to other threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 15;

/// Elements of a tile of elementwise work.
const ELEMENTWISE_TILE: usize = 1 << 14;

/// Calls `work(sample, tile, values)` for every tile of `output`, which holds samples of `sample_len` elements, each cut into
/// tiles of `tile_len` (the last one of a sample may be shorter). `cost` is that of the whole output.
pub(super) fn for_each(
    output: &mut [f32],
    sample_len: usize,
    tile_len: usize,
    cost: usize,
    work: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
) {
    if cost < WORTH_SHARING {
        for (sample, values) in output.chunks_mut(sample_len).enumerate() {
            for (tile, values) in values.chunks_mut(tile_len).enumerate() {
                work(sample, tile, values);
            }
        }
        return;
    }
    output
        .par_chunks_mut(sample_len)
        .enumerate()
        .for_each(|(sample, values)| {
            values
                .par_chunks_mut(tile_len)
                .enumerate()
                .for_each(|(tile, values)| work(sample, tile, values));
        });
}

/// Calls `work(part, rows)` for every part of the columns of `output`, which has rows of `row_len`; `rows` are the part's columns
/// of all rows. The parts follow one another from the first column to the last.
pub(super) fn for_each_part(
    output: &mut [f32],
    row_len: usize,
    parts: &[Range<usize>],
    cost: usize,
    work: impl Fn(&Range<usize>, &mut [&mut [f32]]) + Sync,
) {
    let count = output.len() / row_len;
    let mut tasks: Vec<_> = parts
        .iter()
        .map(|part| (part, Vec::with_capacity(count)))
        .collect();
    for mut row in output.chunks_exact_mut(row_len) {
        for (part, rows) in &mut tasks {
            let (columns, rest) = row.split_at_mut(part.len());
            rows.push(columns);
            row = rest;
        }
    }
    if cost < WORTH_SHARING {
        for (part, mut rows) in tasks {
            work(part, &mut rows);
        }
    } else {
        parallel::for_each_item(tasks.into_iter(), |_, (part, mut rows)| {
            work(part, &mut rows);
        });
    }
}

/// Calls `work(first, values)` for tiles of whole rows of `row_len` elements; `first` is the index of the tile's first element.
pub(super) fn for_each_rows(
    output: &mut [f32],
    row_len: usize,
    work: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    let tile_len = row_len * (ELEMENTWISE_TILE / row_len).max(1);
    let len = output.len();
    for_each(output, len.max(1), tile_len, len, &|_, tile, values| {
        work(tile * tile_len, values);
    });
}

/// Rows in a tile, so that about `budget` operations are in it and a sample of `rows` rows has at least two.
pub(super) fn rows(rows: usize, cost_of_row: usize, budget: usize) -> usize {
    (budget / cost_of_row.max(1)).clamp(1, rows.div_ceil(2).max(1))
}

/// Cuts `0..len` into as few parts of at most `most` as there can be, none more than one longer than another.
#[inline(always)]
pub(super) fn even_parts(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = len.div_ceil(most);
    let (short, longer) = (len / parts.max(1), len % parts.max(1));
    (0..parts).map(move |part| {
        let start = part * short + part.min(longer);
        start..start + short + usize::from(part < longer)
    })
}

/// Lends a buffer of `len` elements that the thread keeps from call to call; its contents are arbitrary.
pub(super) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Aligned> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.reserve(len);
        work(&mut scratch[..len])
    })
}
