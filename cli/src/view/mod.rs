//! What people see, computed from what is known.
//!
//! **Architecture invariant:** nothing here reads a clock, a cluster or a terminal. Every view is a function of a
//! [`crate::picture::Picture`], the time and the width, so that its output can be compared word for word in tests.

pub mod artifacts;
pub mod changes;
pub mod explain;
pub mod frame;
pub mod list;
pub mod summary;
pub mod table;
pub mod text;
pub mod time;
pub mod verdict;
pub mod world_row;

#[cfg(test)]
pub mod sample;
