//! Arrays as stored in files, of any element type.

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

/// An array of any supported element type, in the order of its axes (C order).
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Elements in the file's type, so that only the samples that are used are converted.
#[derive(Clone, Debug)]
pub(super) enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

impl Array {
    /// Creates an array whose first axis is the fastest if `fortran`, else the last.
    pub(super) fn new(shape: Vec<usize>, fortran: bool, values: Values) -> Result<Self, String> {
        fn in_c_order<T: Clone>(shape: &[usize], values: Vec<T>) -> Result<Vec<T>, String> {
            let array = ArrayD::from_shape_vec(IxDyn(shape).f(), values)
                .map_err(|error| error.to_string())?;
            Ok(array.iter().cloned().collect())
        }
        let values = if !fortran || shape.len() < 2 {
            values
        } else {
            match values {
                Values::F32(values) => Values::F32(in_c_order(&shape, values)?),
                Values::F64(values) => Values::F64(in_c_order(&shape, values)?),
                Values::U8(values) => Values::U8(in_c_order(&shape, values)?),
                Values::I8(values) => Values::I8(in_c_order(&shape, values)?),
                Values::U16(values) => Values::U16(in_c_order(&shape, values)?),
                Values::I16(values) => Values::I16(in_c_order(&shape, values)?),
                Values::I32(values) => Values::I32(in_c_order(&shape, values)?),
                Values::I64(values) => Values::I64(in_c_order(&shape, values)?),
            }
        };
        Ok(Array { shape, values })
    }

    /// Elements `range` as `f32`, appended to `to`.
    pub(super) fn extend_f32(&self, range: std::ops::Range<usize>, to: &mut Vec<f32>) {
        match &self.values {
            Values::F32(values) => to.extend_from_slice(&values[range]),
            Values::F64(values) => to.extend(values[range].iter().map(|&x| x as f32)),
            Values::U8(values) => to.extend(values[range].iter().map(|&x| f32::from(x))),
            Values::I8(values) => to.extend(values[range].iter().map(|&x| f32::from(x))),
            Values::U16(values) => to.extend(values[range].iter().map(|&x| f32::from(x))),
            Values::I16(values) => to.extend(values[range].iter().map(|&x| f32::from(x))),
            Values::I32(values) => to.extend(values[range].iter().map(|&x| x as f32)),
            Values::I64(values) => to.extend(values[range].iter().map(|&x| x as f32)),
        }
    }

    /// Element `index`, in C order, for messages.
    pub(super) fn real(&self, index: usize) -> f64 {
        shown(&self.values, index)
    }

    /// Element `index` as a class number; `None` if it is not an integer from 0 to `u32::MAX`.
    pub(super) fn class(&self, index: usize) -> Option<u32> {
        match &self.values {
            Values::F32(values) => class_of_float(f64::from(values[index])),
            Values::F64(values) => class_of_float(values[index]),
            Values::U8(values) => Some(values[index].into()),
            Values::I8(values) => values[index].try_into().ok(),
            Values::U16(values) => Some(values[index].into()),
            Values::I16(values) => values[index].try_into().ok(),
            Values::I32(values) => values[index].try_into().ok(),
            Values::I64(values) => values[index].try_into().ok(),
        }
    }
}

/// A number of a file as shown in messages.
fn shown(values: &Values, index: usize) -> f64 {
    match values {
        Values::F32(values) => values[index].into(),
        Values::F64(values) => values[index],
        Values::U8(values) => values[index].into(),
        Values::I8(values) => values[index].into(),
        Values::U16(values) => values[index].into(),
        Values::I16(values) => values[index].into(),
        Values::I32(values) => values[index].into(),
        Values::I64(values) => values[index] as f64,
    }
}

fn class_of_float(x: f64) -> Option<u32> {
    (x.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&x)).then_some(x as u32)
}
