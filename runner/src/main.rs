//! Runs one stage of a World, leaves its report for the kubelet, and ends with its exit code.

use std::process::ExitCode;

use clap::Parser;
use manyworlds_runner::arguments::Arguments;

fn main() -> ExitCode {
    manyworlds_runner::run(Arguments::parse())
}
