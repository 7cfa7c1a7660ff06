//! Loading a blob: everything is checked here, so that nothing has to be later.
//!
//! A blob is untrusted input: [`Model::from_bytes`] checks everything once, and what it accepts, the kernels may rely on.

#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
#![cfg_attr(test, allow(clippy::indexing_slicing, reason = "a test may fail"))]

mod check;
mod in_place;
mod lifetimes;
mod needs;
mod ops;
mod rules;
mod site;
#[cfg(all(test, feature = "std"))]
mod tests;

use crate::error::{LoadError, Section};
use crate::format::ALIGNMENT;
use crate::format::family::Family;
use crate::format::header::{Header, saturate};
use crate::format::program::{Port, Program, Tensor};
#[cfg(feature = "std")]
use crate::format::write::ProgramParts;
use crate::limits::{CHECK_FACTOR, MAX_ARENA_BYTES, MAX_WORK};
use crate::parts::{AllKernels, Kernels};
use check::Checker;
use core::marker::PhantomData;
#[cfg(feature = "std")]
pub use needs::kernels_of;
pub use needs::{in_place, scratch_bytes};
pub use rules::InPlace;
use site::Site;

/// A checked model: the decoded program, and sections borrowed from the blob.
///
/// `TENSORS` and `OPS` are the most tensors and operators there is room for; a build script reads the exact numbers with
/// [`Summary`](crate::Summary). The program takes about 16 bytes of RAM a tensor and 72 an operator; weights and
/// parameters stay where the blob is. `K` says which kernels are linked: all of them, if nothing else is said; see
/// [`parts`](crate::parts).
#[derive(Clone, Debug)]
pub struct Model<'a, const TENSORS: usize, const OPS: usize, K: Kernels = AllKernels> {
    program: Program<TENSORS, OPS>,
    weights: &'a [i8],
    params: &'a [i32],
    metadata: &'a [u8],
    packing: Family,
    kernels: PhantomData<K>,
}

/// A model input or output, for whoever fills or reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PortInfo {
    /// `[h, w, c]`; element `(y, x, k)` is at `(y * w + x) * c + k`.
    pub shape: [u16; 3],
    /// The quantized value of the real number 0.
    pub zero_point: i8,
    /// Bits of the scale as an IEEE 754 single: `real = f32::from_bits(scale_bits) * (q - zero_point)`.
    pub scale_bits: u32,
}

impl PortInfo {
    /// Number of elements, at least 1.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |elements, &dim| elements * usize::from(dim))
    }

    /// Number of bytes that whoever fills it writes, or reads: each element is an int8.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.elements()
    }
}

impl<'a, const TENSORS: usize, const OPS: usize> Model<'a, TENSORS, OPS, AllKernels> {
    /// Checks a blob and decodes its program.
    ///
    /// `bytes` starts at a multiple of 16 (see [`Aligned`](crate::Aligned)) and may be longer than the blob, as a flash
    /// partition is. What is accepted runs without any further check: every tensor and scratch area lies inside the
    /// arena, no operator overwrites what a later one needs, shapes fit, and no accumulator can overflow.
    ///
    /// # Time
    /// The checksum reads the blob once. Then each operator's weights, parameters and clamps are read, and operators may share them: a blob
    /// for which that is more than [`CHECK_FACTOR`] times its length is refused at the first operator at which it is. Last, what each operator writes
    /// is compared with all tensors that are needed then or later, which again may not be more than [`CHECK_FACTOR`] times the blob's length in all.
    /// So the time is linear in the blob's length.
    ///
    /// A blob with more than [`MAX_WORK`] operations per run is refused before its weights are read. That limit is high, minutes on a host and days on
    /// a microcontroller: who takes blobs from elsewhere sets a lower one with [`with_work_limit`](Model::with_work_limit).
    ///
    /// # Errors
    /// The first condition that does not hold, as a [`LoadError`].
    ///
    /// # Panics
    /// Never, for any bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::with_kernels(bytes)
    }
}

impl<'a, const TENSORS: usize, const OPS: usize, K: Kernels> Model<'a, TENSORS, OPS, K> {
    /// As [`from_bytes`](Model::from_bytes), for a build with some kernels only.
    ///
    /// ```
    /// use fewbit_runtime::Model;
    ///
    /// // In firmware, `Kernels` comes from the build dependency `fewbit-build`.
    /// type Kernels = fewbit_runtime::parts::Linked<0>;
    /// let model = Model::<2, 1, Kernels>::with_kernels(&[]);
    /// assert!(model.is_err(), "no blob at all");
    /// ```
    ///
    /// # Errors
    /// As [`from_bytes`](Model::from_bytes), and [`LoadError::Kernel`] for an operator whose kernel is left out.
    pub fn with_kernels(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::with_work_limit(bytes, MAX_WORK)
    }

    /// As [`with_kernels`](Model::with_kernels), for models of at most `limit` elementary operations per run ([`work`](Model::work)), 0 to
    /// [`MAX_WORK`]; a higher limit is [`MAX_WORK`].
    ///
    /// A blob above it is refused before its weights are read. As a run's time is in proportion to its operations, a deadline is a limit: a layer of
    /// multiply-accumulates takes about as many cycles each on every model.
    ///
    /// ```
    /// use fewbit_runtime::{LoadError, Model};
    ///
    /// # let blob = fewbit_runtime::AlignedBlob::new(&[0; 64]);
    /// match Model::<100, 64>::with_work_limit(&blob, 20_000_000) {
    ///     Ok(model) => println!("{} operations", model.work()),
    ///     Err(LoadError::Work { limit, found }) => println!("{found} operations, {limit} fit the deadline"),
    ///     Err(error) => println!("no model: {error}"),
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`with_kernels`](Model::with_kernels), and [`LoadError::Work`] with both figures above the limit.
    pub fn with_work_limit(bytes: &'a [u8], limit: u64) -> Result<Self, LoadError> {
        let misalignment = saturate(bytes.as_ptr().addr() % ALIGNMENT as usize);
        if misalignment != 0 {
            return Err(LoadError::Misaligned {
                found: misalignment,
            });
        }
        let (header, blob) = Header::check(bytes)?;
        if usize::from(header.tensors) > TENSORS {
            return Err(LoadError::TensorCapacity {
                capacity: saturate(TENSORS),
                found: header.tensors.into(),
            });
        }
        if usize::from(header.ops) > OPS {
            return Err(LoadError::OpCapacity {
                capacity: saturate(OPS),
                found: header.ops.into(),
            });
        }
        let program = decode(header.program.of(blob))?;
        // Sections start at multiples of 16 of an aligned blob, so that the cast cannot fail.
        let params = bytemuck::try_cast_slice(header.parameters.of(blob)).map_err(|_| {
            LoadError::SectionLength {
                section: Section::Parameters,
                found: header.parameters.length,
            }
        })?;
        let model = Model {
            program,
            weights: bytemuck::cast_slice(header.weights.of(blob)),
            params,
            metadata: header.metadata.of(blob),
            packing: header.packing(),
            kernels: PhantomData,
        };
        model.check(&header, limit.min(MAX_WORK))?;
        Ok(model)
    }

    /// Number of bytes that the checks of the operators of a loaded model read.
    #[cfg(test)]
    fn checked_bytes(bytes: &'a [u8]) -> Result<u64, LoadError> {
        let model = Self::with_kernels(bytes)?;
        let (header, _) = Header::check(bytes)?;
        model.check(&header, MAX_WORK)
    }

    /// Everything that follows the header, cheapest first.
    fn check(&self, header: &Header, work_limit: u64) -> Result<u64, LoadError> {
        let program = &self.program;
        let (tensors, ops) = (saturate(program.tensors.len()), saturate(program.ops.len()));
        if tensors != u32::from(header.tensors) {
            return Err(LoadError::TensorCount {
                expected: header.tensors.into(),
                found: tensors,
            });
        }
        if ops != u32::from(header.ops) {
            return Err(LoadError::OpCount {
                expected: header.ops.into(),
                found: ops,
            });
        }
        let arena = program.arena_bytes;
        if arena != header.arena_bytes {
            return Err(LoadError::ArenaBytes {
                expected: header.arena_bytes,
                found: arena,
            });
        }
        if arena > MAX_ARENA_BYTES {
            return Err(LoadError::ArenaLimit {
                limit: MAX_ARENA_BYTES,
                found: arena,
            });
        }
        let mut end = 0;
        for (tensor, index) in program.tensors.iter().zip(0..) {
            end = end.max(check_tensor(tensor, index, arena)?);
        }
        for (op, index) in program.ops.iter().zip(0..) {
            let scratch = op.scratch();
            let scratch_end = u64::from(scratch.offset) + u64::from(scratch.bytes);
            if scratch_end > u64::from(arena) {
                return Err(LoadError::ScratchBounds {
                    op: index,
                    arena,
                    found: scratch_end,
                });
            }
            if scratch.bytes > 0 {
                end = end.max(scratch_end);
            }
        }
        if end != u64::from(arena) {
            return Err(LoadError::ArenaBytes {
                expected: u32::try_from(end).unwrap_or(u32::MAX),
                found: arena,
            });
        }
        for port in program.inputs.iter().chain(&program.outputs) {
            self.check_port(port)?;
        }
        let work = self.work();
        if work > work_limit {
            return Err(LoadError::Work {
                limit: work_limit,
                found: work,
            });
        }
        let (mut reads, most) = (0, u64::from(header.length) * CHECK_FACTOR);
        for (op, index) in program.ops.iter().zip(0..) {
            let checker = Checker::new(index, self.site(), self.weights, self.params);
            ops::check::<K>(op, &checker)?;
            reads += checker.reads() as u64;
            if reads > most {
                return Err(LoadError::Reads {
                    op: index,
                    limit: most,
                    found: reads,
                });
            }
            if !K::LINKED.has_all(ops::parts::<K>(op, &checker.site)) {
                return Err(LoadError::Kernel { op: index });
            }
        }
        lifetimes::check::<K, TENSORS, OPS>(
            program,
            self.packing,
            u32::try_from(most).unwrap_or(u32::MAX),
        )?;
        Ok(reads)
    }

    fn check_port(&self, port: &Port) -> Result<(), LoadError> {
        let tensors = self.program.tensors.len();
        if usize::from(port.tensor) >= tensors {
            return Err(LoadError::PortTensor {
                tensors: u16::try_from(tensors).unwrap_or(u16::MAX),
                found: port.tensor,
            });
        }
        // Sign 0, not zero, exponent below that of infinity.
        if !(1..0x7F80_0000).contains(&port.scale_bits) {
            return Err(LoadError::PortScale {
                tensor: port.tensor,
                found: port.scale_bits,
            });
        }
        Ok(())
    }

    /// Bytes of arena that [`Engine::new`](crate::Engine::new) needs.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.program.arena_bytes as usize
    }

    /// Number of operators.
    #[must_use]
    pub fn op_count(&self) -> usize {
        self.program.ops.len()
    }

    /// Number of tensors.
    #[must_use]
    pub fn tensor_count(&self) -> usize {
        self.program.tensors.len()
    }

    /// The decoded program.
    #[must_use]
    pub fn program(&self) -> &Program<TENSORS, OPS> {
        &self.program
    }

    /// Number of model inputs.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.program.inputs.len()
    }

    /// Number of model outputs.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.program.outputs.len()
    }

    /// Shape and encoding of a model input; `None` when there are fewer.
    #[must_use]
    pub fn input(&self, index: usize) -> Option<PortInfo> {
        self.port(self.program.inputs.get(index)?)
    }

    /// Shape and encoding of a model output; `None` when there are fewer.
    #[must_use]
    pub fn output(&self, index: usize) -> Option<PortInfo> {
        self.port(self.program.outputs.get(index)?)
    }

    fn port(&self, port: &Port) -> Option<PortInfo> {
        let tensor = self.program.tensors.get(usize::from(port.tensor))?;
        Some(PortInfo {
            shape: tensor.shape(),
            zero_point: tensor.zero_point,
            scale_bits: port.scale_bits,
        })
    }

    /// Multiply-accumulates of an operator: its products of an activation and a weight, padding included. 0 for operators
    /// without weights, and out of range.
    #[must_use]
    pub fn macs(&self, op_index: usize) -> u64 {
        self.program
            .ops
            .get(op_index)
            .map_or(0, |op| ops::macs(op, &self.site()))
    }

    /// Elementary operations of one run: multiply-accumulates, padding included, window positions of pools, or elements written. At
    /// most [`MAX_WORK`].
    ///
    /// The time of [`Engine::run`](crate::Engine::run) is in proportion to it, and depends on no input. Where blobs come from elsewhere and a run
    /// has a deadline, refuse what is above it.
    #[must_use]
    pub fn work(&self) -> u64 {
        let program = &self.program;
        program.ops.iter().fold(0, |work: u64, op| {
            work.saturating_add(ops::work(op, &self.site()))
        })
    }

    fn site(&self) -> Site<'_> {
        Site {
            tensors: &self.program.tensors,
            packing: self.packing,
        }
    }

    /// The metadata section, for tools: with the feature `std`, `Metadata::from_bytes` decodes it from the blob.
    #[must_use]
    pub fn metadata(&self) -> &'a [u8] {
        self.metadata
    }

    /// The kernel family that the weights are packed for.
    #[must_use]
    pub fn packing(&self) -> Family {
        self.packing
    }

    /// The weights section.
    #[must_use]
    pub fn weights(&self) -> &'a [i8] {
        self.weights
    }

    /// The parameters section.
    #[must_use]
    pub fn params(&self) -> &'a [i32] {
        self.params
    }
}

#[cfg(feature = "std")]
impl ProgramParts {
    /// The program of a loaded model.
    #[must_use]
    pub fn of<const TENSORS: usize, const OPS: usize, K: Kernels>(
        model: &Model<'_, TENSORS, OPS, K>,
    ) -> Self {
        let program = model.program();
        ProgramParts {
            arena_bytes: program.arena_bytes,
            inputs: program.inputs.to_vec(),
            outputs: program.outputs.to_vec(),
            tensors: program.tensors.to_vec(),
            ops: program.ops.to_vec(),
            packing: model.packing(),
        }
    }
}

/// Decodes a program that fills `bytes` exactly.
fn decode<const TENSORS: usize, const OPS: usize>(
    bytes: &[u8],
) -> Result<Program<TENSORS, OPS>, LoadError> {
    match postcard::take_from_bytes(bytes) {
        Ok((program, [])) => Ok(program),
        _ => Err(LoadError::Program),
    }
}

/// Checks one tensor by itself and returns its end in the arena.
fn check_tensor(tensor: &Tensor, index: u16, arena: u32) -> Result<u64, LoadError> {
    if tensor.elements() == 0 {
        return Err(LoadError::EmptyTensor { tensor: index });
    }
    let end = u64::from(tensor.offset) + tensor.bytes();
    if end > u64::from(arena) {
        return Err(LoadError::TensorBounds {
            tensor: index,
            arena,
            found: end,
        });
    }
    Ok(end)
}
