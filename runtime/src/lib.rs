//! Integer-only inference of fewbit models on microcontrollers.
//!
#![doc = include_str!("../README.md")]
//!
//! # Contract
//!
//! - No heap, no floats, no global state, no unsafe code except the calls of assembly loops. The caller owns the arena, the one buffer for activations.
//! - [`Model::from_bytes`] treats the blob as untrusted: for any bytes, it returns a model or a [`LoadError`].
//! - After that nothing fails: [`Engine::run`] has no panic path, no recursion, and a running time that depends on the model
//!   alone. Its cost is limited: [`limits::MAX_WORK`], [`limits::MAX_ARENA_BYTES`]. `cargo xtask bounds` proves from
//!   the machine code that neither loading nor running panics or recurses, and bounds the stack.
//! - Weights and parameters are read in place, from flash; only the program is decoded, into the [`Model`].
//! - `docs/arithmetic.md` specifies the result of every operator, bit for bit; the blob's layout is in
//!   `docs/model-format.md`.
//!
//! # Quick start
//!
//! In firmware, with a blob made by the host tool:
//!
//! ```
//! use fewbit_runtime::{Aligned, Engine, Model};
//!
//! // static BLOB: &Aligned<[u8]> = &Aligned(*include_bytes!("model.fewbit"));
//! # // The same two-layer blob as in the crate's tests would be long here: this one negates four numbers.
//! # #[cfg(not(feature = "std"))] fn main() {}
//! # #[cfg(feature = "std")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use fewbit_runtime::{AlignedBlob, BlobWriter, Metadata, ProgramParts};
//! # use fewbit_runtime::format::program::{Lut, Op, Port, Tensor};
//! # let mut writer = BlobWriter::new();
//! # let table = writer.append_weights(&std::array::from_fn::<i8, 256, _>(|i| (127 - i as i32) as i8));
//! # let blob = writer.finish(
//! #     &ProgramParts {
//! #         arena_bytes: 4,
//! #         inputs: vec![Port { tensor: 0, scale_bits: 1.0_f32.to_bits() }],
//! #         outputs: vec![Port { tensor: 1, scale_bits: 1.0_f32.to_bits() }],
//! #         tensors: vec![Tensor::int8(0, [1, 1, 4], 0), Tensor::int8(0, [1, 1, 4], -1)],
//! #         ops: vec![Op::Lut(Lut { input: 0, output: 1, table })],
//! #         ..ProgramParts::default()
//! #     },
//! #     &Metadata::default(),
//! # )?;
//! # let blob = AlignedBlob::new(&blob);
//! # struct Blob<'b>(&'b [u8]);
//! # let BLOB = Blob(&blob);
//! // Room for 2 tensors and 1 operator: the build dependency `fewbit-build` writes the numbers.
//! let model = Model::<2, 1>::from_bytes(&BLOB.0)?;
//! let mut arena = [0_i8; 4];
//! let mut engine = Engine::new(&model, &mut arena)?;
//!
//! engine.input_mut(0).copy_from_slice(&[1, 2, 3, -128]);
//! engine.run();
//! assert_eq!(engine.output(0), [-2, -3, -4, 127]);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `std`: the blob writer (`BlobWriter`), the metadata, `AlignedBlob`, the rules of kernel families (`target`): for host
//!   tools and build scripts. Off by default; it changes no result.
//! - `defmt`: `defmt::Format` for [`LoadError`], [`ArenaTooSmall`], [`PortInfo`] and [`Summary`].
#![cfg_attr(not(any(test, feature = "std")), no_std)]
// Calls of assembly loops are the one exception, each with its reason; builds without them have none.
#![deny(unsafe_code)]
#![deny(
    clippy::float_arithmetic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test may fail"
    )
)]

#[cfg(target_endian = "big")]
compile_error!(
    "fewbit-runtime borrows little-endian parameters in place and needs a little-endian target"
);

#[cfg(target_pointer_width = "16")]
compile_error!("fewbit-runtime needs pointers of at least 32 bits");

pub mod arith;
mod engine;
mod error;
pub mod format;
mod kernels;
pub mod limits;
pub mod load;
pub mod pack;
pub mod parts;
#[cfg(feature = "std")]
pub mod target;

pub use engine::{ArenaTooSmall, Engine};
pub use error::{LoadError, Section};
pub use format::aligned::Aligned;
#[cfg(feature = "std")]
pub use format::aligned::AlignedBlob;
pub use format::header::Summary;
#[cfg(feature = "std")]
pub use format::metadata::{InputMetadata, Metadata, OpMetadata, OutputMetadata, TensorMetadata};
#[cfg(feature = "std")]
pub use format::write::{BlobWriter, ProgramParts, WriteError};
pub use load::{Model, PortInfo};
pub use parts::{AllKernels, KernelSet, Kernels};
