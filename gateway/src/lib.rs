//! The gateway between Worlds and the APIs of models. It alone knows their keys.
//!
//! A call is authenticated ([`access`]), understood ([`endpoint`], [`fields`], `request`), waits for its turn (`admission`,
//! `line`), is made (`forward`) and settled (`open`). What an answer has used is read beside its way to the client ([`usage`]).
//!
//! **Architecture invariant:** the crate does not know Kubernetes. Whose a token is and what a World may call are asked of
//! [`access::Access`].

pub mod access;
mod admission;
mod answer;
mod bodies;
mod cache;
mod client;
mod contents;
pub mod endpoint;
mod event_splitter;
pub mod fields;
mod forward;
pub mod headers;
mod limits;
mod line;
mod open;
mod outgoing;
mod passing;
mod reduction;
pub mod refusal;
mod request;
pub mod retry;
mod screen;
mod server;
mod shared;
mod strip;
mod sums;
mod unpriced;
pub mod usage;
mod waits;

pub use answer::{Body, BoxError};
pub use client::{ClientError, Clients};
pub use server::{Gateway, LARGEST_REQUEST, Patience};
pub use waits::WaitList;
