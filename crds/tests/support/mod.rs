//! The parts that the tests of this crate share.

pub mod specification;
