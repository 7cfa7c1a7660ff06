//! Changes of a node, and what counts as one.

/// Half of the distance between neighbouring singles, relative to them.
pub(super) const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;

/// Ratio to the largest channel of a tensor below which a value counts as 0.
pub(super) const NEGLIGIBLE: f64 = ROUNDING * ROUNDING;

/// Changes of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Output channels that became constants, of those that there are; empty if there are none.
    pub(super) rows: Vec<bool>,
    /// Whether weights of inputs became zeros.
    pub(super) columns: bool,
}

impl Changes {
    /// Notes that `row` of `rows` changed.
    pub(super) fn row(&mut self, row: usize, rows: usize) {
        self.rows.resize(rows, false);
        self.rows[row] = true;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.iter().filter(|&&changed| changed).count()
    }

    pub(super) fn any(&self) -> bool {
        self.columns || self.rows() > 0
    }
}
