//! Bytes at a multiple of 16, as blobs must be.
//!
//! `include_bytes!` promises no alignment; [`Aligned`] aligns a blob in flash without a copy, `AlignedBlob` (with the feature
//! `std`) a blob that was read from a file.

/// A value that starts at a multiple of 16 bytes.
///
/// ```
/// use fewbit_runtime::Aligned;
///
/// // In firmware: `&Aligned(*include_bytes!("model.fewbit"))`.
/// static BLOB: &Aligned<[u8]> = &Aligned(*b"FEWBIT\r\n");
/// assert_eq!(BLOB.0.as_ptr().align_offset(16), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(
    /// The value.
    pub T,
);

/// An owned copy of a blob that starts at a multiple of 16 bytes.
#[cfg(feature = "std")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlignedBlob {
    /// Buffer for `len` bytes, followed by zeros; `u128` for its alignment.
    words: Vec<u128>,
    len: usize,
}

#[cfg(feature = "std")]
impl AlignedBlob {
    /// Copies `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0_u128; bytes.len().div_ceil(16)];
        for (to, from) in bytemuck::cast_slice_mut::<u128, u8>(&mut words)
            .iter_mut()
            .zip(bytes)
        {
            *to = *from;
        }
        AlignedBlob {
            words,
            len: bytes.len(),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
            .get(..self.len)
            .unwrap_or_default()
    }
}

#[cfg(feature = "std")]
impl From<&[u8]> for AlignedBlob {
    fn from(bytes: &[u8]) -> Self {
        AlignedBlob::new(bytes)
    }
}

#[cfg(feature = "std")]
impl core::ops::Deref for AlignedBlob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}
