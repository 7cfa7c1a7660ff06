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
    /// Where a node cannot be rewritten although it has to be.
    fn run(&self, graph: &mut Graph) -> Result<PassReport, GraphError>;
}

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// Name of the pass.
    pub pass: &'static str,
    /// Nodes that it changed or removed.
    pub changed: usize,
    /// What a user should know, one sentence each.
    pub notes: Vec<String>,
}
