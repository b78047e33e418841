//! Helpers of the black-box tests and of the bench: they reach Manyworlds only as a user does, through the Kubernetes
//! API, the operator's program and its settings.
//!
//! ```text
//! Cluster (a kubeconfig) -> definitions (CRDs) -> Namespace -> orders
//!                        -> OperatorIdentity (a ServiceAccount's kubeconfig) -> [Proxy ->] OperatorProcess
//! ```
//!
//! **Architecture invariant:** this crate depends on `manyworlds-api` and `manyworlds-test-support`, and on no other member of the workspace.

pub mod cluster;
pub mod definitions;
pub mod identity;
pub mod models;
pub mod namespace;
pub mod operator;
pub mod orders;
pub mod played;
pub mod proxy;
pub mod real;
pub mod recorder;
pub mod resources;
pub mod story;
pub mod volume;

pub use cluster::Cluster;
pub use identity::OperatorIdentity;
pub use manyworlds_test_support::{Error, LIMIT, Look, Result, eventually};
pub use namespace::Namespace;
pub use operator::{OperatorProcess, OperatorSettings};
pub use proxy::{Cut, Proxy};
pub use recorder::Recorder;
