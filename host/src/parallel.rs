//! Work that threads share out.
//!
//! Each function is compiled once, not for every closure: rayon's own iterators are some twenty functions per call. Tasks are to be coarse
//! (a block of samples, a row of weights), as each costs a call through a pointer. Results come back in the order of the tasks, so that what
//! is summed from them has the same bits on any number of threads.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Calls `work` with each index below `count`.
pub(crate) fn for_each(count: usize, work: &(dyn Fn(usize) + Sync)) {
    (0..count).into_par_iter().for_each(work);
}

/// Returns what `work` makes of each index below `count`, in their order.
pub(crate) fn map<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut results: Vec<Option<T>> = Vec::new();
    results.resize_with(count, || None);
    for_each_item(results.iter_mut(), |index, result| {
        *result = Some(work(index));
    });
    // None is missing: a panic of a task has been passed on.
    results.into_iter().flatten().collect()
}

/// Calls `work` with the index of each item and the item.
pub(crate) fn for_each_item<T: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(usize, T) + Sync,
) {
    let items: Vec<Mutex<Option<T>>> = items.map(|item| Mutex::new(Some(item))).collect();
    for_each(items.len(), &|index| {
        let mut item = items[index].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(item) = item.take() {
            work(index, item);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_tasks() {
        let squares = map(1000, |index| index * index);
        assert!(
            squares
                .iter()
                .enumerate()
                .all(|(index, &square)| square == index * index)
        );
        assert_eq!(squares.len(), 1000);
        assert!(map(0, |index| index).is_empty());
    }

    #[test]
    fn every_item_is_taken_once() {
        let mut values = vec![0; 103];
        for_each_item(values.chunks_mut(10), |index, chunk| {
            chunk.iter_mut().for_each(|value| *value += index + 1);
        });
        let expected: Vec<usize> = (0..103).map(|place| place / 10 + 1).collect();
        assert_eq!(values, expected);
    }
}
