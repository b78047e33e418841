//! Decides what the operator does next.
//!
//! The operator gathers one [`Snapshot`] of an order and validates it; [`decide`] turns it into a [`Plan`] that holds every
//! object to create, delete or patch in full, the status, the next time to look, and the reasons for what the order waits for.
//!
//! **Architecture invariant:** nothing here does I/O, reads a clock, or draws a random number. Time, chance and
//! settings are fields of the snapshot, so every decision can be tested with a table and replayed from a log.

mod attempt;
mod attempt_pods;
mod baseline;
mod grant;
pub mod node_resources;
pub mod observation;
mod order;
mod plan;
pub mod policy;
pub mod quantity;
pub mod resources;
pub mod role;
mod snapshot;
mod stages;
mod support;
mod world;
mod world_status;

pub use grant::Grant;
pub use order::{OrderDecision, decide};
pub use plan::{Effect, Event, EventKind, Grace, OrderOutcome, Plan, StatusChange, WorldPatch};
pub use snapshot::{Exhausted, ModelUse, Settings, Snapshot, Texts, ValidSnapshot};
