//! kubectl plugin for Manyworlds.

fn main() {}
