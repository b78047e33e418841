//! The view of the cluster: its resources, as the watches have last seen them. Every role reads them here.
//!
//! **Architecture invariant:** nothing that only reads here can write to the cluster. The role `controller` alone can, and notes
//! in the index what the API server answered to its writes.

use std::sync::Arc;

use manyworlds_planner::policy::shares::NamespaceShares;

use crate::catalogue::Catalogue;
use crate::index::Index;

/// The resources of the cluster. Clones share them.
#[derive(Clone)]
pub(crate) struct View {
    /// Orders, Worlds, pods and nodes.
    pub(crate) index: Arc<Index>,
    /// Providers and Budgets; absent where no role of the process asks for them.
    pub(crate) catalogue: Option<Catalogue>,
}

impl View {
    /// Makes a view that has seen nothing yet, of a cluster whose slots are shared like this.
    pub(crate) fn new(shares: NamespaceShares, catalogue: Option<Catalogue>) -> Self {
        Self { index: Arc::new(Index::new(shares)), catalogue }
    }
}
