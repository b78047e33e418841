//! The Manyworlds operator: reads its settings, and runs until it is told to end.

use std::process::ExitCode;

use clap::Parser;
use manyworlds_operator::settings::Arguments;
use mimalloc::MiMalloc;

// The C library's allocator takes a fifth of the operator's time under load; see docs/decisions/0005.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Arguments::parse().resolve().map_err(Into::into).and_then(manyworlds_operator::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            manyworlds_operator::print_error(error.as_ref());
            ExitCode::FAILURE
        }
    }
}
