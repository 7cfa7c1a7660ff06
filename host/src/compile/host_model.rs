//! The runtime's model type, with the host's capacity.

use fewbit_runtime::Model;

/// Largest number of tensors and operators of a model that this tool handles.
const CAPACITY: usize = 2048;

/// Largest number of axes of an output in the metadata: as in NumPy.
pub(crate) const MAX_AXES: usize = 64;

/// Model with the host's capacity.
pub type HostModel<'a> = Model<'a, CAPACITY, CAPACITY>;
