//! The gateway between Worlds and the APIs of models. It alone knows their keys.
//!
//! A call is authenticated ([`access`]), understood ([`endpoint`], [`fields`], `request`), waits for its turn (`admission`,
//! `queue`), is made (`forward`), relayed (`relay`) and settled (`in_flight`). The usage of an answer is read beside its way to the
//! client ([`usage`]).
//!
//! **Architecture invariant:** the crate does not know Kubernetes. It asks [`access::Access`] who has a token, and what a World
//! may call.

pub mod access;
mod admission;
mod answered_call;
mod body_permits;
mod cache;
mod cache_key;
mod call;
mod call_sums;
mod client;
mod compaction;
pub mod endpoint;
mod event_splitter;
pub mod fields;
mod forward;
pub mod headers;
mod in_flight;
mod kept_bytes;
mod limits;
mod modalities;
mod outgoing_body;
mod queue;
mod redactor;
pub mod refusal;
mod refused_bodies;
mod relay;
mod request;
mod request_policy;
mod response;
pub mod retry;
mod server;
mod shared;
pub mod usage;
mod usage_filter;
mod wait_list;

pub use body_permits::LARGEST_REQUEST;
pub use client::{ClientError, Clients};
pub use response::{Body, BoxError};
pub use server::{Gateway, Timeouts};
pub use wait_list::WaitList;
