//! Constant tensors: initializers, Constant nodes and what is folded from them.

use std::path::{Component, Path};

use super::proto::TensorProto;
use crate::import::builder::element_count;
use crate::import::error::{OpResult, invalid, unsupported};

/// Numbers of a constant: all floating-point types become `f32`, all integers and booleans `i64`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// A constant tensor in ONNX's own axis order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

impl Constant {
    pub(super) fn ints(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Constant {
            shape,
            data: Data::Int(values),
        }
    }

    pub(super) fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Constant {
            shape,
            data: Data::Float(values),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Float(values) => values.len(),
            Data::Int(values) => values.len(),
        }
    }

    /// The integers of a scalar or a list.
    pub(super) fn as_ints(&self) -> OpResult<&[i64]> {
        match &self.data {
            Data::Int(values) if self.shape.len() <= 1 => Ok(values),
            Data::Int(_) => Err(invalid(format!(
                "an operand has shape {:?}, expected a list of integers",
                self.shape
            ))),
            Data::Float(_) => Err(invalid("an operand holds floats, expected integers")),
        }
    }

    /// The floats, all of them finite.
    pub(super) fn as_floats(&self) -> OpResult<&[f32]> {
        let Data::Float(values) = &self.data else {
            return Err(invalid("an operand holds integers, expected floats"));
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(invalid(format!(
                "a constant operand holds {} at index {index}; train or export the network again",
                if values[index].is_nan() {
                    "NaN"
                } else {
                    "infinity"
                }
            ))),
        }
    }

    /// The only element, as a float; it may be infinite.
    pub(super) fn scalar(&self) -> OpResult<f32> {
        match &self.data {
            Data::Int(_) => Err(invalid("an operand holds an integer, expected a float")),
            Data::Float(values) => match values[..] {
                [value] if value.is_nan() => Err(invalid("a constant operand is NaN")),
                [value] => Ok(value),
                _ => Err(invalid(format!(
                    "an operand has {} elements, expected one",
                    values.len()
                ))),
            },
        }
    }

    /// Reads a tensor; `directory` is the folder of external data.
    pub(super) fn from_proto(tensor: &TensorProto, directory: Option<&Path>) -> OpResult<Self> {
        let shape = tensor
            .dims
            .iter()
            .map(|&dim| usize::try_from(dim).ok())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| invalid(format!("a tensor has the shape {:?}", tensor.dims)))?;
        let elements = element_count(&shape)
            .ok_or_else(|| invalid(format!("a tensor has the shape {shape:?}")))?;
        let external;
        let raw = if tensor.data_location == 1 {
            external = read_external(tensor, directory)?;
            &external
        } else {
            &tensor.raw_data
        };
        let data = decode(tensor, raw, elements)?;
        let constant = Constant { shape, data };
        if constant.len() != elements {
            return Err(invalid(format!(
                "tensor `{}` has {} values for the shape {:?}",
                tensor.name,
                constant.len(),
                constant.shape
            )));
        }
        Ok(constant)
    }
}

/// Values of `TensorProto.data_type`.
pub(super) mod data_type {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const UINT8: i32 = 2;
    pub(crate) const INT8: i32 = 3;
    pub(crate) const UINT16: i32 = 4;
    pub(crate) const INT16: i32 = 5;
    pub(crate) const INT32: i32 = 6;
    pub(crate) const INT64: i32 = 7;
    pub(crate) const BOOL: i32 = 9;
    pub(crate) const FLOAT16: i32 = 10;
    pub(crate) const DOUBLE: i32 = 11;
    pub(crate) const UINT32: i32 = 12;
    pub(crate) const UINT64: i32 = 13;
    pub(crate) const BFLOAT16: i32 = 16;
    pub(crate) const UINT4: i32 = 21;
    pub(crate) const INT4: i32 = 22;
}

fn decode(tensor: &TensorProto, raw: &[u8], elements: usize) -> OpResult<Data> {
    use data_type::*;
    let in_ints = || tensor.int32_data.iter();
    let typed = raw.is_empty();
    let values = match tensor.data_type {
        INT8 => -128..=127,
        INT16 => -32_768..=32_767,
        BOOL => 0..=1,
        UINT8 | INT4 | UINT4 => 0..=255,
        UINT16 | FLOAT16 | BFLOAT16 => 0..=65_535,
        _ => i32::MIN..=i32::MAX,
    };
    if let Some(value) = in_ints().find(|value| typed && !values.contains(value)) {
        return Err(invalid(format!(
            "tensor `{}` holds {value}; its element type has {} to {}",
            tensor.name,
            values.start(),
            values.end()
        )));
    }
    Ok(match tensor.data_type {
        FLOAT if typed => Data::Float(tensor.float_data.clone()),
        FLOAT => Data::Float(words(raw, f32::from_le_bytes)?),
        DOUBLE if typed => Data::Float(tensor.double_data.iter().map(|&v| v as f32).collect()),
        DOUBLE => Data::Float(words(raw, |b| f64::from_le_bytes(b) as f32)?),
        FLOAT16 if typed => Data::Float(in_ints().map(|&v| half_to_f32(v as u16)).collect()),
        FLOAT16 => Data::Float(words(raw, |b| half_to_f32(u16::from_le_bytes(b)))?),
        BFLOAT16 if typed => Data::Float(in_ints().map(|&v| bfloat_to_f32(v as u16)).collect()),
        BFLOAT16 => Data::Float(words(raw, |b| bfloat_to_f32(u16::from_le_bytes(b)))?),
        INT64 if typed => Data::Int(tensor.int64_data.clone()),
        INT64 => Data::Int(words(raw, i64::from_le_bytes)?),
        UINT32 | UINT64 if typed => {
            Data::Int(tensor.uint64_data.iter().map(|&v| v as i64).collect())
        }
        UINT64 => Data::Int(words(raw, |b| u64::from_le_bytes(b) as i64)?),
        UINT32 => Data::Int(words(raw, |b| u32::from_le_bytes(b).into())?),
        INT32 | INT16 | INT8 | UINT16 | UINT8 | BOOL if typed => {
            Data::Int(in_ints().map(|&v| v.into()).collect())
        }
        INT32 => Data::Int(words(raw, |b| i32::from_le_bytes(b).into())?),
        INT16 => Data::Int(words(raw, |b| i16::from_le_bytes(b).into())?),
        UINT16 => Data::Int(words(raw, |b| u16::from_le_bytes(b).into())?),
        INT8 => Data::Int(raw.iter().map(|&b| i64::from(b as i8)).collect()),
        UINT8 | BOOL => Data::Int(raw.iter().map(|&b| b.into()).collect()),
        INT4 | UINT4 => {
            let value = match tensor.data_type {
                INT4 => signed_nibble,
                _ => i64::from,
            };
            let values = if typed {
                nibbles(in_ints().map(|&v| v as u8), elements, value)
            } else {
                nibbles(raw.iter().copied(), elements, value)
            };
            Data::Int(values)
        }
        other => {
            return Err(unsupported(
                format!(
                    "tensor `{}` has element type {other}, which is not supported",
                    tensor.name
                ),
                "use float, double, float16, bfloat16 or integer tensors",
            ));
        }
    })
}

/// The value of a nibble in two's complement.
fn signed_nibble(nibble: u8) -> i64 {
    i64::from(nibble) - if nibble >= 8 { 16 } else { 0 }
}

/// Integers of 4 bits, two a byte, the first in the low nibble; without the last nibble where there are `elements` and that is an odd number.
/// `value` is that of a nibble, 0 to 15.
fn nibbles(
    bytes: impl Iterator<Item = u8>,
    elements: usize,
    value: impl Fn(u8) -> i64,
) -> Vec<i64> {
    let mut values: Vec<i64> = bytes
        .flat_map(|byte| [value(byte & 15), value(byte >> 4)])
        .collect();
    if elements % 2 == 1 && values.len() == elements + 1 {
        values.pop();
    }
    values
}

/// Little-endian words of `N` bytes.
fn words<const N: usize, T>(raw: &[u8], from: impl Fn([u8; N]) -> T) -> OpResult<Vec<T>> {
    let (chunks, rest) = raw.as_chunks::<N>();
    if rest.is_empty() {
        Ok(chunks.iter().map(|&chunk| from(chunk)).collect())
    } else {
        Err(invalid(format!(
            "a tensor's data of {} bytes is not a multiple of {N}",
            raw.len()
        )))
    }
}

/// IEEE 754 binary16 to binary32, exactly.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

fn bfloat_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Bytes of a tensor that are in a file beside the model.
fn read_external(tensor: &TensorProto, directory: Option<&Path>) -> OpResult<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let name = &tensor.name;
    let value = |key: &str| {
        tensor
            .external_data
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match value(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            invalid(format!(
                "external data of tensor `{name}`: {key} is `{text}`"
            ))
        }),
    };
    let save_inside = "save the model with its tensors inside (`onnx.save` of a loaded model)";
    let directory = directory.ok_or_else(|| {
        unsupported(
            format!("tensor `{name}` lies in another file, but only bytes are at hand"),
            save_inside,
        )
    })?;
    let location = value("location")
        .ok_or_else(|| invalid(format!("external data of tensor `{name}` has no location")))?;
    // A model must not make us read files elsewhere.
    let path = Path::new(location);
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(unsupported(
            format!("tensor `{name}` lies in `{location}`, outside the model's folder"),
            save_inside,
        ));
    }
    let failed = |error: std::io::Error| {
        invalid(format!(
            "tensor `{name}` lies in `{location}`, which cannot be read ({error}); keep that file beside the model"
        ))
    };
    let mut file = std::fs::File::open(directory.join(path)).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let offset = number("offset")?.unwrap_or(0);
    let available = size.saturating_sub(offset);
    let length = number("length")?.unwrap_or(available);
    if length > available {
        return Err(invalid(format!(
            "tensor `{name}` needs {length} bytes at {offset} of `{location}`, which has {size}"
        )));
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_convert_exactly() {
        for (bits, expected) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half_to_f32(bits), expected, "{bits:#06x}");
        }
        assert!(half_to_f32(0x7e00).is_nan());
        assert_eq!(bfloat_to_f32(0xc0a0), -5.0);
    }
    /// Bytes 0xF8 0x21 0x07 hold the nibbles 8 15 1 2 7 0, the last of which fills up five values.
    #[test]
    fn integers_of_4_bits_lie_two_a_byte() {
        let tensor = |data_type, dims: &[i64], bytes: &[u8], raw: bool| TensorProto {
            name: "w".to_owned(),
            data_type,
            dims: dims.to_vec(),
            raw_data: if raw { bytes.to_vec() } else { Vec::new() },
            int32_data: match raw {
                true => Vec::new(),
                false => bytes.iter().map(|&byte| byte.into()).collect(),
            },
            ..TensorProto::default()
        };
        let bytes = [0xF8, 0x21, 0x07];
        for raw in [true, false] {
            for (data_type, values) in [
                (data_type::INT4, vec![-8, -1, 1, 2, 7]),
                (data_type::UINT4, vec![8, 15, 1, 2, 7]),
            ] {
                let found = Constant::from_proto(&tensor(data_type, &[5], &bytes, raw), None);
                assert_eq!(found.unwrap(), Constant::ints(vec![5], values));
            }
            let even = tensor(data_type::INT4, &[2, 3], &bytes, raw);
            let expected = Constant::ints(vec![2, 3], vec![-8, -1, 1, 2, 7, 0]);
            assert_eq!(Constant::from_proto(&even, None).unwrap(), expected);
            for wrong in [[3, 1], [7, 1], [4, 1]] {
                let wrong = tensor(data_type::INT4, &wrong, &bytes, raw);
                let error = Constant::from_proto(&wrong, None).unwrap_err();
                assert!(error.to_string().contains("`w` has"), "{error}");
            }
        }
    }
}
