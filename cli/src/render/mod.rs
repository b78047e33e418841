//! The output for people, as pure functions of an order view.
//!
//! **Architecture invariant:** nothing here reads a clock, a cluster or a terminal. Each function takes an
//! `OrderView`, the time and the width, so that tests compare its output word for word.

pub mod artifacts;
pub mod baseline;
pub mod change_log;
pub mod comparison;
pub mod explain;
pub mod list;
pub mod live_table;
pub mod summary;
pub mod table;
pub mod text;
pub mod time;
pub mod world_row;

#[cfg(test)]
pub mod fixtures;
