//! The Manyworlds operator.

fn main() {}
