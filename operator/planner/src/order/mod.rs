//! The decision about one order: assess what has happened, let its phases decide, write the plan.
//!
//! ```text
//! Snapshot -> Assessment -> phases -> OrderDecision: request -> (slots are granted over all orders) -> plan
//! ```

mod assessment;
mod decision;
mod fallback_run;
mod phases;
mod planning;
mod progress;
mod reevaluation;
mod starting;
mod status;

pub use planning::{OrderDecision, decide};

#[cfg(test)]
mod tests;
