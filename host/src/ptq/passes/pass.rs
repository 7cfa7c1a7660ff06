//! A rewrite of the graph, and what it reports.

use crate::graph::{Graph, GraphError};
use serde::Serialize;

/// A rewrite of the graph.
pub trait Pass {
    /// Name as in recipes and reports.
    fn name(&self) -> &'static str;

    /// Rewrites `graph` in place.
    ///
    /// # Errors
    /// If a node that must be rewritten cannot be.
    fn run(&self, graph: &mut Graph) -> Result<PassReport, GraphError>;
}

/// Result of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// Name of the pass.
    pub pass: &'static str,
    /// Nodes that it changed or removed.
    pub changed: usize,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
}
