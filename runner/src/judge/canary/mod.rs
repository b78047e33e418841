//! Canaries: one test that must pass and one that must fail, which show whether a gate's test program tells the truth.
//!
//! Code of the candidate runs in the process that judges it, and can make every test pass there. It does not know the
//! canary, which is laid after the gate has run, under a new name, and loads what the tests beside it load.
//!
//! - `invocation`, `words`, `arguments`: the test program in a command, and its arguments.
//! - `planning`: the canary for a command, by `python`, `javascript` and `compiled`; `imports` reads what it loads.
//! - `outcomes`, `verdict`: what the test program said of the two tests, and what that says of it.
//! - `trial`: lays the canary, runs it and takes it away. Nothing else here does anything.

mod arguments;
mod compiled;
mod imports;
mod invocation;
mod javascript;
mod names;
mod outcomes;
mod plan;
mod planning;
mod python;
mod trial;
mod verdict;
mod words;

pub(super) use trial::Trial;
pub(super) use verdict::Verdict;
