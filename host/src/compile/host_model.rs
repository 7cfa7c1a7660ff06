//! The runtime's model with as much room as the host needs.

use fewbit_runtime::Model;

/// Most tensors and operators of a model that this tool handles.
const CAPACITY: usize = 2048;

/// Most axes of an output that the metadata may speak of: as many as NumPy's arrays have.
pub(crate) const MAX_AXES: usize = 64;

/// A model with as much room as the host needs.
pub type HostModel<'a> = Model<'a, CAPACITY, CAPACITY>;
