//! Types of attributes: values of `AttributeProto.type`.

pub(super) const FLOAT: i32 = 1;
pub(super) const INT: i32 = 2;
pub(super) const STRING: i32 = 3;
pub(super) const TENSOR: i32 = 4;
pub(super) const GRAPH: i32 = 5;
pub(super) const FLOATS: i32 = 6;
pub(super) const INTS: i32 = 7;
pub(super) const STRINGS: i32 = 8;
pub(super) const SPARSE_TENSOR: i32 = 11;
