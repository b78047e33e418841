//! The rules, one file each: pure functions of their arguments.

pub mod allowance;
pub mod capacity;
pub mod deadlines;
pub mod fallback;
pub mod placement;
pub mod pod_template;
pub mod ranking;
pub mod retry;
pub mod score;
pub mod support;
