//! The stages that run inside the pods of a World.

fn main() {}
