//! Money and limits: what a call costs, how many calls a Provider takes, and what may still be spent.
//!
//! The ledger, the gateway, the runner and the operator count by these rules alone, so that a call costs the same
//! everywhere.
//!
//! **Architecture invariant:** nothing here does I/O, reads a clock, or draws a random number. Time is an argument.

pub mod breaker;
pub mod budget;
pub mod budget_selection;
pub mod model_choice;
pub mod period;
pub mod price;
pub mod price_table;
pub mod rate_window;
pub mod waits;
