//! The parts that the tests of every crate share.
//!
//! **Architecture invariant:** this crate depends on no other member of the workspace, so that each can have it for its tests.

pub mod api_server;
pub mod eventually;
pub mod fuzz;
pub mod result;

pub use api_server::{Answer, ApiServer, Call, kubeconfig};
pub use eventually::{LIMIT, Look, eventually};
pub use result::{Error, Result};
