//! Decides what the operator does next.
