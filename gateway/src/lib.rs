//! The gateway between Worlds and the APIs of models: the parts that need no connection.
//!
//! Bytes come in, decisions come out: which endpoint a request means, which headers may pass, what an answer has used,
//! whether a failed attempt may be made again, and what a refusal looks like in the client's own protocol.
//!
//! **Architecture invariant:** nothing here opens a connection, reads a clock or knows Kubernetes. What it needs from
//! outside are the traits of [`access`].

pub mod access;
pub mod endpoint;
pub mod fields;
pub mod headers;
pub mod refusal;
pub mod retry;
pub mod usage;
