//! The loop that every kind runs on: gather, validate, plan, apply, publish. Nothing here knows a kind.

pub(crate) mod backoff;
pub(crate) mod controller;
#[cfg(test)]
mod controller_tests;
pub(crate) mod events;
pub(crate) mod queue;
pub(crate) mod status;
pub(crate) mod steps;
