//! Circles in a graph of files.

use std::collections::{BTreeMap, VecDeque};

use super::source::Edges;

/// A shortest circle of all, none in a graph without; its end uses its beginning.
pub(super) fn shortest(edges: &Edges) -> Option<Vec<usize>> {
    let next = next(edges);
    next.keys()
        .filter_map(|&start| {
            let before = paths(&next, start);
            before.contains_key(&start).then(|| back(&before, start))
        })
        .min_by_key(Vec::len)
}

/// Whether the end of an edge reaches its beginning.
pub(super) fn closes(edges: &Edges, (from, to): (usize, usize)) -> bool {
    paths(&next(edges), to).contains_key(&from)
}

/// The files that each file uses.
fn next(edges: &Edges) -> BTreeMap<usize, Vec<usize>> {
    let mut next: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(from, to) in edges.keys() {
        next.entry(from).or_default().push(to);
    }
    next
}

/// Files that `start` reaches, each with the one before it on a shortest way; `start` itself if it is on a circle.
fn paths(next: &BTreeMap<usize, Vec<usize>>, start: usize) -> BTreeMap<usize, usize> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for &to in next.get(&file).into_iter().flatten() {
            before.entry(to).or_insert_with(|| {
                queue.push_back(to);
                file
            });
        }
    }
    before
}

/// The way from `start` to itself.
fn back(before: &BTreeMap<usize, usize>, start: usize) -> Vec<usize> {
    let mut circle = vec![start];
    let mut file = before.get(&start).copied();
    while let Some(at) = file
        && at != start
    {
        circle.push(at);
        file = before.get(&at).copied();
    }
    circle[1..].reverse();
    circle
}
