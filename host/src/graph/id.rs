//! Numbers of tensors and nodes, and lists that only they index.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Index, IndexMut};

/// The number of a thing of a graph: [`TensorId`] or [`NodeId`].
pub trait Id: Copy {
    /// The id of the thing at `index` of its list.
    fn at(index: usize) -> Self;

    /// Its place in its list.
    fn place(self) -> usize;
}

/// Defines an id.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(usize);

        impl $name {
            /// The id at `index` of the list, counted from 0.
            pub const fn new(index: usize) -> Self {
                $name(index)
            }

            /// Its place in the list, counted from 0.
            pub const fn index(self) -> usize {
                self.0
            }
        }

        impl Id for $name {
            fn at(index: usize) -> Self {
                $name(index)
            }

            fn place(self) -> usize {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A tensor of a graph: the key of its [`tensors`](super::Graph::tensors), and of every [`TensorMap`] that goes with the graph.
    TensorId
}

id! {
    /// A node of a graph: the key of its [`nodes`](super::Graph::nodes), and of every [`NodeMap`] that goes with the graph.
    ///
    /// Where nodes are removed or inserted, ids of those behind them change.
    NodeId
}

/// One value per tensor of a graph.
pub type TensorMap<T> = IdVec<TensorId, T>;

/// One value per node of a graph.
pub type NodeMap<T> = IdVec<NodeId, T>;

/// A list with one value per `I` of a graph, in the graph's order; it is indexed by `I` and not by bare numbers.
///
/// ```
/// use fewbit::graph::{Graph, TensorMap};
///
/// let mut graph = Graph::new("example");
/// let id = graph.add_tensor("x", vec![2, 3]);
/// let elements: TensorMap<usize> = graph.tensors.map(|tensor| tensor.elements());
/// assert_eq!(elements[id], 6);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct IdVec<I, T> {
    values: Vec<T>,
    id: PhantomData<fn(I) -> I>,
}

impl<I: Id, T> IdVec<I, T> {
    /// A list without values.
    pub fn new() -> Self {
        Vec::new().into()
    }

    /// The ids of its values, in order.
    pub fn ids(
        &self,
    ) -> impl DoubleEndedIterator<Item = I> + ExactSizeIterator + Clone + use<I, T> {
        (0..self.values.len()).map(I::at)
    }

    /// Its values with their ids, in order.
    pub fn enumerate(&self) -> impl DoubleEndedIterator<Item = (I, &T)> + ExactSizeIterator {
        let numbered = self.values.iter().enumerate();
        numbered.map(|(index, value)| (I::at(index), value))
    }

    /// As [`enumerate`](Self::enumerate), to change the values.
    pub fn enumerate_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = (I, &mut T)> + ExactSizeIterator {
        let numbered = self.values.iter_mut().enumerate();
        numbered.map(|(index, value)| (I::at(index), value))
    }

    /// The value of `id`; `None` where there is none.
    pub fn get(&self, id: I) -> Option<&T> {
        self.values.get(id.place())
    }

    /// The first id whose value is one that is looked for.
    pub fn position(&self, found: impl FnMut(&T) -> bool) -> Option<I> {
        self.values.iter().position(found).map(I::at)
    }

    /// A list with what `f` makes of each value.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> IdVec<I, U> {
        self.values.iter().map(f).collect()
    }

    /// Appends a value and returns its id.
    pub fn push(&mut self, value: T) -> I {
        self.values.push(value);
        I::at(self.values.len() - 1)
    }

    /// Removes and returns the value of `id`; ids behind it move by one.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn remove(&mut self, id: I) -> T {
        self.values.remove(id.place())
    }

    /// Drops `end` and everything behind it.
    pub fn truncate(&mut self, end: I) {
        self.values.truncate(end.place());
    }

    /// Replaces the value of `id` by several; ids behind it move.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn replace(&mut self, id: I, by: impl IntoIterator<Item = T>) {
        self.values.splice(id.place()..=id.place(), by);
    }

    /// Keeps the values of which `keep` says so; ids behind others move.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.values.retain(keep);
    }
}

impl<I: Id, T> Default for IdVec<I, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I, T: fmt::Debug> fmt::Debug for IdVec<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.fmt(f)
    }
}

impl<I: Id, T> Index<I> for IdVec<I, T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        &self.values[id.place()]
    }
}

impl<I: Id, T> IndexMut<I> for IdVec<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.values[id.place()]
    }
}

impl<I, T> Deref for IdVec<I, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values
    }
}

impl<I, T> DerefMut for IdVec<I, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values
    }
}

impl<I, T> From<Vec<T>> for IdVec<I, T> {
    fn from(values: Vec<T>) -> Self {
        IdVec {
            values,
            id: PhantomData,
        }
    }
}

impl<I, T> From<IdVec<I, T>> for Vec<T> {
    fn from(list: IdVec<I, T>) -> Vec<T> {
        list.values
    }
}

impl<I, T> FromIterator<T> for IdVec<I, T> {
    fn from_iter<S: IntoIterator<Item = T>>(values: S) -> Self {
        Vec::from_iter(values).into()
    }
}

impl<I, T> IntoIterator for IdVec<I, T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.into_iter()
    }
}

impl<'a, I, T> IntoIterator for &'a IdVec<I, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.iter()
    }
}

impl<'a, I, T> IntoIterator for &'a mut IdVec<I, T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.iter_mut()
    }
}
