//! The roles of the process. Each starts from inputs of its own and ends with the process; none uses another.

pub(crate) mod api;
pub(crate) mod controller;
pub(crate) mod gateway;
