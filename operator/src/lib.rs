//! The operator: watches, gathers, lets the planner decide, writes, and serves artifacts.
//!
//! ```text
//! watch -> index -> gather -> (planner) -> apply -> publish
//! ```
//!
//! **Architecture invariant:** nothing in this crate decides; [`manyworlds_planner`] does. `apply` is the only writer of
//! Worlds and pods.

pub mod artifacts;
pub mod budget_requirement;
pub mod catalogue;
mod cluster;
mod errors;
mod failure;
mod health;
mod identity;
mod index;
mod kind;
pub mod ledger_command;
mod models;
mod network_policy;
mod reconcile;
mod requests;
mod roles;
mod run;
mod secrets;
pub mod settings;
pub mod shares;
mod shutdown;
mod view;
mod volumes;
mod watch;
mod work_order;

use std::error::Error;
use std::io::Write;

pub use failure::Failure;
pub use run::run;

/// Prints an error with everything that caused it.
pub fn print_error(error: &(dyn Error + 'static)) {
    // Nothing is left to tell about a standard error that is closed.
    let _ = writeln!(std::io::stderr(), "manyworlds-operator: {}", manyworlds_api::errors::error_chain(error));
}
