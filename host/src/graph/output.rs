//! Layout of a network's output in its model file.

/// Shape and axis order of a network output in the model file, which need not be those of its tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLayout {
    /// Shape of one sample's output in the model file, without the batch dimension.
    pub shape: Vec<usize>,
    /// The axes of the tensor in the model file's order; those of size 1 may be left out.
    pub order: Vec<usize>,
    /// The axis that is the batch; `None` where the file has none, because its batch is 1 and went into other axes or away.
    pub batch: Option<usize>,
}

impl OutputLayout {
    /// Layout of a tensor that has its file's order.
    pub fn as_stored(shape: &[usize]) -> Self {
        OutputLayout {
            shape: shape.to_vec(),
            order: (0..shape.len()).collect(),
            batch: Some(0),
        }
    }

    /// Shape of the outputs of `samples` samples: the batch stands where the file has it. Where it has none, one sample's output is the file's, and those of
    /// several are stacked.
    pub fn batched_shape(&self, samples: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.batch.is_some() || samples != 1 {
            shape.insert(self.batch.unwrap_or(0), samples);
        }
        shape
    }

    /// Brings outputs, sample after sample, from the order of a tensor of shape `stored` into the model file's, still sample after sample.
    pub fn samples_in_file_order<T: Copy>(&self, stored: &[usize], values: &[T]) -> Vec<T> {
        let units = (0..stored.len()).filter(|axis| !self.order.contains(axis));
        let axes: Vec<usize> = units.chain(self.order.iter().copied()).collect();
        transposed(stored, &axes, values)
    }

    /// The opposite of [`OutputLayout::samples_in_file_order`].
    pub fn samples_in_tensor_order<T: Copy>(&self, stored: &[usize], values: &[T]) -> Vec<T> {
        let units = (0..stored.len()).filter(|axis| !self.order.contains(axis));
        let axes: Vec<usize> = units.chain(self.order.iter().copied()).collect();
        let moved: Vec<usize> = axes.iter().map(|&axis| stored[axis]).collect();
        let back: Vec<usize> = (0..stored.len())
            .filter_map(|axis| axes.iter().position(|&moved| moved == axis))
            .collect();
        transposed(&moved, &back, values)
    }

    /// Puts the batch where the file has it: an array of the shape [`OutputLayout::batched_shape`].
    pub fn with_batch_in_place<T: Copy>(&self, samples: usize, values: Vec<T>) -> Vec<T> {
        let (Some(batch @ 1..), true) = (self.batch, samples > 0) else {
            return values;
        };
        let outer: usize = self.shape[..batch].iter().product();
        let inner: usize = self.shape[batch..].iter().product();
        transposed(&[samples, outer, inner], &[1, 0, 2], &values)
    }

    /// The opposite of [`OutputLayout::with_batch_in_place`].
    pub fn with_batch_in_front<T: Copy>(&self, samples: usize, values: Vec<T>) -> Vec<T> {
        let (Some(batch @ 1..), true) = (self.batch, samples > 0) else {
            return values;
        };
        let outer: usize = self.shape[..batch].iter().product();
        let inner: usize = self.shape[batch..].iter().product();
        transposed(&[outer, samples, inner], &[1, 0, 2], &values)
    }
}

/// Arrays of shape `shape`, one after the other, whose axis `i` becomes that which was `axes[i]`.
fn transposed<T: Copy>(shape: &[usize], axes: &[usize], values: &[T]) -> Vec<T> {
    let elements: usize = shape.iter().product();
    let stride = |axis: usize| -> usize { shape[axis + 1..].iter().product() };
    let mut places = vec![0];
    for &axis in axes {
        let (size, step) = (shape[axis], stride(axis));
        let along = |place: usize| (0..size).map(move |index| place + index * step);
        places = places.into_iter().flat_map(along).collect();
    }
    let arrays = values.chunks_exact(elements.max(1));
    arrays
        .flat_map(|array| places.iter().map(|&place| array[place]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_in_the_files_order() {
        // [h, w, c] = [1, 2, 3] of a file's [n, c, h, w].
        let image = OutputLayout {
            shape: vec![3, 1, 2],
            order: vec![2, 1],
            batch: Some(0),
        };
        let stored: Vec<i32> = (0..12).collect();
        let expected = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11];
        let found = image.samples_in_file_order(&[1, 2, 3], &stored);
        assert_eq!(found, expected);
        assert_eq!(image.batched_shape(2), [2, 3, 1, 2]);
        assert_eq!(image.with_batch_in_place(2, found.clone()), expected);
        assert_eq!(image.samples_in_tensor_order(&[1, 2, 3], &found), stored);
    }

    #[test]
    fn a_batch_stands_where_the_file_has_it() {
        let last = OutputLayout {
            shape: vec![3],
            order: vec![0],
            batch: Some(1),
        };
        assert_eq!(last.batched_shape(2), [3, 2]);
        let found = last.with_batch_in_place(2, vec![0, 1, 2, 10, 11, 12]);
        assert_eq!(found, [0, 10, 1, 11, 2, 12]);
        assert_eq!(last.with_batch_in_front(2, found), [0, 1, 2, 10, 11, 12]);
        let none = OutputLayout {
            batch: None,
            ..last
        };
        assert_eq!(none.batched_shape(2), [2, 3]);
        assert_eq!(none.batched_shape(1), [3]);
        assert_eq!(none.with_batch_in_place(2, vec![0; 6]), [0; 6]);
    }
}
