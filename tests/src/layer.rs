//! Small programs for tests: built by hand, run by the engine.
//!
//! Weights are packed here once more instead of by the runtime's writer, so that a wrong packing cannot hide in both
//! the writer and the kernels. The gaps of the sections hold rubbish, and so does the arena before the first operator:
//! what reads there does not get away with zeros.

use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::place::{ParamIndex, WeightsOffset};
use fewbit_runtime::format::program::DType;
use fewbit_runtime::format::program::{Op, Port, Scratch, Tensor, TensorIndex, WeightType};
use fewbit_runtime::format::write::{arena_bytes, assemble};
use fewbit_runtime::load::{self, InPlace};
use fewbit_runtime::pack;
use fewbit_runtime::parts::{AllKernels, Kernels};
use fewbit_runtime::{AlignedBlob, BlobWriter, Engine, Metadata, Model, ProgramParts};

use crate::oracle::{Sections, Trace, output_of, run};

/// Most tensors of a test program.
pub const MAX_TENSORS: usize = 12;
/// Most operators of a test program.
pub const MAX_OPS: usize = 10;
/// Fills gaps of the weights section and the unwritten arena.
const RUBBISH: i8 = 0x5A;
/// Separates the tensors of the parameters section.
const PARAM_RUBBISH: i32 = 0x5A5A_5A5A;
/// Arena bytes behind those that the program asks for.
const GUARD_BYTES: usize = 64;

/// A program with its sections and inputs.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Tensors and operators.
    pub program: ProgramParts,
    /// The weights section.
    pub weights: Vec<i8>,
    /// The parameters section.
    pub params: Vec<i32>,
    /// One vector a model input.
    pub inputs: Vec<Vec<i8>>,
}

impl Layer {
    /// Adds a tensor `[h, w, c]`; [`Layer::place`] gives it its place.
    ///
    /// # Panics
    /// When a dimension does not fit the format.
    pub fn tensor(&mut self, [h, w, c]: [usize; 3], zero_point: i8) -> TensorIndex {
        let dim = |value: usize| u16::try_from(value).expect("a dimension has 16 bits");
        let tensor = Tensor {
            offset: 0,
            h: dim(h),
            w: dim(w),
            c: dim(c),
            zero_point,
            dtype: DType::Int8,
        };
        self.program.tensors.push(tensor);
        u16::try_from(self.program.tensors.len() - 1).expect("a program has few tensors")
    }

    /// Adds a tensor that is a model input.
    pub fn input(&mut self, shape: [usize; 3], zero_point: i8, data: Vec<i8>) -> TensorIndex {
        let tensor = self.tensor(shape, zero_point);
        self.program.inputs.push(port(tensor));
        self.inputs.push(data);
        tensor
    }

    /// Adds an operator, whose output becomes the only model output.
    pub fn op(&mut self, op: Op) {
        self.program.outputs = vec![port(output_of(&op))];
        self.program.ops.push(op);
    }

    /// Appends bytes to the weights section and returns their offset.
    pub fn bytes(&mut self, bytes: &[i8]) -> WeightsOffset {
        while !self.weights.len().is_multiple_of(16) {
            self.weights.push(RUBBISH);
        }
        let offset = self.weights.len();
        self.weights.extend(bytes);
        WeightsOffset::new(u32::try_from(offset).expect("a small section"))
    }

    /// Appends weights in rows of `row_len` and returns their offset.
    ///
    /// # Panics
    /// When a weight is outside of its type's range.
    pub fn pack(
        &mut self,
        weights: &[i8],
        weight_type: WeightType,
        row_len: usize,
    ) -> WeightsOffset {
        let limit = largest_weight(weight_type);
        assert!(
            weights.iter().all(|w| w.unsigned_abs() <= limit),
            "weights up to {limit}"
        );
        match weight_type {
            WeightType::Int8 => self.bytes(weights),
            WeightType::Int4 => {
                let mut packed = Vec::new();
                for row in weights.chunks(row_len) {
                    for pair in row.chunks(2) {
                        let low = pair[0].rem_euclid(16);
                        let high = pair.get(1).map_or(0, |w| w.rem_euclid(16));
                        packed.push((i16::from(high) * 16 + i16::from(low)) as u8 as i8);
                    }
                }
                self.bytes(&packed)
            }
            WeightType::PairedInt8 | WeightType::PairedInt4 => panic!("layers are made in rows"),
        }
    }

    /// Appends values to the parameters section and returns the index of the first.
    pub fn values(&mut self, values: &[i32]) -> ParamIndex {
        self.params.push(PARAM_RUBBISH);
        let index = self.params.len();
        self.params.extend(values);
        ParamIndex::new(u32::try_from(index).expect("a small section"))
    }

    /// Gives every tensor and scratch area its place in the arena.
    ///
    /// `order` lists tensors by index and scratch areas by the number of tensors plus the operator's index, each with
    /// the bytes to leave free before it; what it does not list stays where it is. `shared` pairs a tensor with the one
    /// whose offset it takes.
    pub fn place(&mut self, order: &[(usize, u32)], shared: &[(TensorIndex, TensorIndex)]) {
        let tensors = self.program.tensors.len();
        let mut next = 0;
        for &(index, gap) in order {
            next += gap;
            if index < tensors {
                let tensor = &mut self.program.tensors[index];
                tensor.offset = next;
                next += u32::from(tensor.h) * u32::from(tensor.w) * u32::from(tensor.c);
            } else if let Some(scratch) = scratch_mut(&mut self.program.ops[index - tensors])
                && scratch.bytes > 0
            {
                scratch.offset = next;
                next += scratch.bytes;
            }
        }
        for &(tensor, of) in shared {
            self.program.tensors[usize::from(tensor)].offset =
                self.program.tensors[usize::from(of)].offset;
        }
        self.program.arena_bytes = arena_bytes(&self.program.tensors, &self.program.ops);
    }

    /// Outputs by the oracle.
    #[must_use]
    pub fn expected(&self) -> (Vec<Vec<i8>>, Trace) {
        run(
            &self.program,
            &Sections {
                weights: &self.weights,
                params: &self.params,
            },
            &self.inputs,
        )
    }

    /// The same layer packed for a kernel family, with its scratch behind everything else.
    #[must_use]
    pub fn packed_for(&self, packing: Family) -> Layer {
        let mut layer = self.clone();
        let Layer {
            program,
            weights,
            params,
            ..
        } = &mut layer;
        let sections = BlobWriter::with_sections(std::mem::take(weights), params.clone());
        let packed = pack::pack(packing, &mut program.ops, &program.tensors, &sections);
        *weights = packed.weights().to_vec();
        program.packing = packing;
        let mut end = arena_bytes(&program.tensors, &[]);
        for op in &mut program.ops {
            let bytes = load::scratch_bytes(op, &program.tensors, packing);
            if let Some(scratch) = scratch_mut(op) {
                *scratch = Scratch::default();
                if bytes > 0 {
                    scratch.offset = end.next_multiple_of(4);
                    scratch.bytes = u32::try_from(bytes).expect("a small layer");
                    end = scratch.offset + scratch.bytes;
                }
            }
        }
        program.arena_bytes = arena_bytes(&program.tensors, &program.ops);
        layer
    }

    /// The same layer with its output over its input, as close as the loader allows, and scratch behind both; `None` for an operator that
    /// cannot, or that has more than one tensor besides its output. `more` bytes are left in addition, by pixels or rows where
    /// the operator wants that.
    #[must_use]
    pub fn in_place(&self, packing: Family, more: usize) -> Option<Layer> {
        let mut layer = self.packed_for(packing);
        let Layer { program, .. } = &mut layer;
        let [op] = program.ops.as_mut_slice() else {
            return None;
        };
        let inputs: Vec<TensorIndex> = op.inputs().collect();
        let [input] = inputs[..] else { return None };
        let output = op.output();
        // The families need scratch for their ways in place.
        let bytes = load::scratch_bytes(op, &program.tensors, packing);
        if let Some(scratch) = scratch_mut(op) {
            scratch.bytes = u32::try_from(bytes).expect("a small layer");
        }
        let (distance, step) = match load::in_place(op, 0, &program.tensors, packing) {
            InPlace::Rows(distance) => (distance, 1),
            InPlace::Pixels { distance, pixel } => (distance, usize::from(pixel)),
            InPlace::Never | InPlace::Alias | InPlace::Same | InPlace::At(_) => return None,
        };
        let distance = usize::try_from(distance).expect("a small layer");
        let distance = distance.next_multiple_of(step) + more * step;
        program.tensors[usize::from(output)].offset = 0;
        program.tensors[usize::from(input)].offset =
            u32::try_from(distance).expect("a small layer");
        let end = arena_bytes(&program.tensors, &[]).next_multiple_of(4);
        if let Some(scratch) = scratch_mut(op) {
            scratch.offset = if scratch.bytes > 0 { end } else { 0 };
        }
        program.arena_bytes = arena_bytes(&program.tensors, &program.ops);
        Some(layer)
    }

    /// Outputs by the engine, for any contents of the arena.
    ///
    /// # Errors
    /// When the blob is refused.
    pub fn outputs(&self) -> Result<Vec<Vec<i8>>, String> {
        let blob = self.blob()?;
        let model = Model::<MAX_TENSORS, MAX_OPS>::from_bytes(&blob)
            .map_err(|error| format!("refused: {error}"))?;
        let mut arena = vec![RUBBISH; model.arena_bytes()];
        let mut engine =
            Engine::new(&model, &mut arena).map_err(|error| format!("no engine: {error}"))?;
        for (index, data) in self.inputs.iter().enumerate() {
            engine.input_mut(index).copy_from_slice(data);
        }
        engine.run();
        let outputs = 0..self.program.outputs.len();
        Ok(outputs.map(|index| engine.output(index).to_vec()).collect())
    }

    /// Writes the blob.
    ///
    /// # Errors
    /// The writer's message.
    pub fn blob(&self) -> Result<AlignedBlob, String> {
        let blob = assemble(
            &self.program,
            &self.weights,
            &self.params,
            &Metadata::default(),
        );
        Ok(AlignedBlob::new(
            &blob.map_err(|error| format!("not written: {error}"))?,
        ))
    }

    /// Loads the blob, runs it twice by the engine and returns the outputs.
    ///
    /// # Errors
    /// When the blob is refused, when the second inference differs from the first, or when a byte of the arena changes
    /// that belongs neither to an output of an operator nor to a scratch area.
    pub fn run(&self) -> Result<Vec<Vec<i8>>, String> {
        self.run_with::<AllKernels>()
    }

    /// As [`Layer::run`], by a build with some kernels only.
    ///
    /// # Errors
    /// As [`Layer::run`].
    pub fn run_with<K: Kernels>(&self) -> Result<Vec<Vec<i8>>, String> {
        let blob = self.blob()?;
        let model = Model::<MAX_TENSORS, MAX_OPS, K>::with_kernels(&blob)
            .map_err(|error| format!("refused: {error}"))?;
        let mut arena = vec![RUBBISH; model.arena_bytes() + GUARD_BYTES];
        let mut engine =
            Engine::new(&model, &mut arena).map_err(|error| format!("no engine: {error}"))?;
        let mut inference = || -> Vec<Vec<i8>> {
            for (index, data) in self.inputs.iter().enumerate() {
                engine.input_mut(index).copy_from_slice(data);
            }
            engine.run();
            (0..self.program.outputs.len())
                .map(|index| engine.output(index).to_vec())
                .collect()
        };
        let outputs = inference();
        if inference() != outputs {
            return Err("a second inference on the same input has other outputs".to_owned());
        }
        self.check_untouched(&arena)?;
        Ok(outputs)
    }

    /// Inputs keep their values, and rubbish stays rubbish, except where an operator may write.
    fn check_untouched(&self, arena: &[i8]) -> Result<(), String> {
        let mut expected: Vec<Option<i8>> = vec![Some(RUBBISH); arena.len()];
        let span = |tensor: TensorIndex| {
            let tensor = &self.program.tensors[usize::from(tensor)];
            let start = tensor.offset as usize;
            start..start + usize::from(tensor.h) * usize::from(tensor.w) * usize::from(tensor.c)
        };
        for (port, data) in self.program.inputs.iter().zip(&self.inputs) {
            for (byte, &value) in expected[span(port.tensor)].iter_mut().zip(data) {
                *byte = Some(value);
            }
        }
        for op in &self.program.ops {
            expected[span(output_of(op))].fill(None);
            if let Some(scratch) = scratch_of(op) {
                let start = scratch.offset as usize;
                expected[start..start + scratch.bytes as usize].fill(None);
            }
        }
        let touched = expected
            .iter()
            .zip(arena)
            .position(|(expected, found)| expected.is_some_and(|e| e != *found));
        touched.map_or(Ok(()), |at| {
            Err(format!(
                "byte {at} of the arena was written, which no operator owns"
            ))
        })
    }
}

/// The first byte of the arena behind everything.
pub(crate) fn end(layer: &Layer) -> u32 {
    arena_bytes(&layer.program.tensors, &layer.program.ops)
}

/// Largest magnitude of a weight.
#[must_use]
pub fn largest_weight(weight_type: WeightType) -> u8 {
    match weight_type {
        WeightType::Int8 | WeightType::PairedInt8 => 127,
        WeightType::Int4 | WeightType::PairedInt4 => 7,
    }
}

fn port(tensor: TensorIndex) -> Port {
    Port {
        tensor,
        scale_bits: 1.0_f32.to_bits(),
    }
}

fn scratch_of(op: &Op) -> Option<Scratch> {
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => Some(op.scratch),
        Op::FullyConnected(op) => Some(op.scratch),
        _ => None,
    }
}

fn scratch_mut(op: &mut Op) -> Option<&mut Scratch> {
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => Some(&mut op.scratch),
        Op::FullyConnected(op) => Some(&mut op.scratch),
        _ => None,
    }
}
