//! Disjoint sets of numbers, of which the smallest stands for its set.

/// Disjoint sets of the numbers below some number.
#[derive(Clone, Debug)]
pub(crate) struct DisjointSets {
    parent: Vec<usize>,
}

impl DisjointSets {
    /// Sets of one number each, of all below `count`.
    pub(crate) fn new(count: usize) -> DisjointSets {
        DisjointSets {
            parent: (0..count).collect(),
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.parent.len()
    }

    /// The smallest number of the set of `number`.
    pub(crate) fn root(&self, mut number: usize) -> usize {
        while self.parent[number] != number {
            number = self.parent[number];
        }
        number
    }

    /// Makes one set of those of `a` and `b`. Returns what stands for it and what no longer stands for one; equal where it was one set.
    pub(crate) fn join(&mut self, a: usize, b: usize) -> (usize, usize) {
        let (a, b) = (self.shortened_root(a), self.shortened_root(b));
        let (kept, gone) = (a.min(b), a.max(b));
        self.parent[gone] = kept;
        (kept, gone)
    }

    /// As [`DisjointSets::root`], and halves the way for the next time.
    fn shortened_root(&mut self, mut number: usize) -> usize {
        while self.parent[number] != number {
            self.parent[number] = self.parent[self.parent[number]];
            number = self.parent[number];
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_number_stands_for_a_set() {
        let mut sets = DisjointSets::new(6);
        assert_eq!(sets.join(5, 3), (3, 5));
        assert_eq!(sets.join(4, 5), (3, 4));
        assert_eq!(sets.join(3, 4), (3, 3));
        assert_eq!(sets.join(1, 4), (1, 3));
        let roots: Vec<usize> = (0..sets.len()).map(|number| sets.root(number)).collect();
        assert_eq!(roots, [0, 1, 2, 1, 1, 1]);
    }
}
