//! The Manyworlds operator: reads its settings, and runs until it is told to end; or carries out a command.

use std::process::ExitCode;

use clap::Parser;
use manyworlds_operator::ledger_command;
use manyworlds_operator::settings::{Arguments, Command, CommandLine};
use mimalloc::MiMalloc;

// The C library's allocator takes a fifth of the operator's time under load; see docs/decisions/0005.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let CommandLine { arguments, command } = CommandLine::parse();
    let run = |arguments: Arguments| {
        let ended = arguments.resolve().map_err(Into::into).and_then(manyworlds_operator::run);
        ended.map(|()| ExitCode::SUCCESS)
    };
    let ended = match command {
        Some(Command::Ledger(command)) => ledger_command::run(command),
        Some(Command::Run(arguments)) => run(*arguments),
        None => run(arguments),
    };
    ended.unwrap_or_else(|error| {
        manyworlds_operator::print_error(error.as_ref());
        ExitCode::FAILURE
    })
}
