//! WorkOrders: the watches that something is seen of them by, and the five steps of a look at one.

mod apply;
mod observers;
mod publish;
pub(crate) mod reconciler;
#[cfg(test)]
mod unreadable_tests;
pub(crate) mod watching;
