//! The rules, one file each: pure functions of their arguments.

pub mod allowance;
pub mod breaker;
pub mod budget;
pub mod capacity;
pub mod deadlines;
pub mod fallback;
pub mod holders;
pub mod models;
pub mod period;
pub mod placement;
pub mod price;
pub mod price_table;
pub mod ranking;
pub mod rate_window;
pub mod retry;
pub mod score;
pub mod support;
pub mod waits;
