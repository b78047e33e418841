//! The parts that the tests of the program share.

pub mod cluster;
pub mod operator;
