//! Matrix product on row-major slices, by the gemm crate.
//!
//! The only unsafe code of this crate: gemm takes raw pointers. One thread a call; the callers share out tiles of fixed size
//! among threads, so that the order in which products are summed does not depend on how many threads there are.

/// `out = lhs * rhs`: `lhs` is `rows x depth` with `lhs_stride` elements from row to row, `rhs` is `depth x columns` without gaps,
/// `out` is `rows x columns` with `out_stride` elements from row to row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) lhs_stride: usize,
    pub(crate) out_stride: usize,
}

impl Shape {
    /// # Panics
    /// Where a slice is shorter than the shape says, or rows of `out` overlap.
    #[allow(unsafe_code, reason = "the gemm crate takes raw pointers")]
    pub(crate) fn multiply(self, lhs: &[f32], rhs: &[f32], out: &mut [f32]) {
        let Shape {
            rows,
            depth,
            columns,
            lhs_stride,
            out_stride,
        } = self;
        if rows == 0 || columns == 0 {
            return;
        }
        let last = rows - 1;
        assert!(
            lhs_stride >= depth && lhs.len() >= last * lhs_stride + depth,
            "left operand"
        );
        assert!(rhs.len() >= depth * columns, "right operand");
        assert!(
            out_stride >= columns && out.len() >= last * out_stride + columns,
            "output"
        );
        // SAFETY: element (i, j) of a matrix is at i * row stride + j * column stride (1 for all three). The assertions above
        // bound the last element of each matrix by its slice's length; `out` is borrowed mutably, so it aliases neither operand,
        // and a row stride of at least `columns` keeps its rows apart. Slices are at most isize::MAX bytes, so strides fit isize.
        unsafe {
            gemm::gemm(
                rows,
                columns,
                depth,
                out.as_mut_ptr(),
                1,
                out_stride as isize,
                false,
                lhs.as_ptr(),
                1,
                lhs_stride as isize,
                rhs.as_ptr(),
                1,
                columns as isize,
                0.0f32,
                1.0f32,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}
