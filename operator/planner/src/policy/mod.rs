//! The rules, one file each: pure functions of their arguments.

pub mod allowance;
pub mod baseline;
pub mod capacity;
pub mod deadlines;
pub mod fallback;
pub mod occupation;
pub mod placement;
pub mod pod_template;
mod queue;
pub mod ranking;
pub mod refusal;
pub mod retry;
mod rooms;
pub mod score;
pub mod shares;
pub mod support;
