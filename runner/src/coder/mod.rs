//! The worker `coder`: a model reads, changes and checks the code with a few tools, until its checks pass or a limit is reached.
//!
//! - `session`: the conversation from the task to its end.
//! - `protocol`: the messages of OpenAI and of Anthropic behind one conversation.
//! - `gateway`: the client of the gateway, which waits where it is told to.
//! - `tools`: the tools of the model. No path leads out of the worktree.
//! - `workplace`: the worktree, whose programs cannot read the gateway's token.
//! - `context`: compacts a conversation that has grown too large (S4): pure.
//! - `complexity`: estimates how hard a task is, and chooses a model for it (W16): pure.
//! - `model_limits`: the limits of a model: pure.
//! - `pricing`: the prices of calls, and the World's share of the budget: pure.
//! - `progress`: when to stop a session early: pure.
//!
//! **Architecture invariant:** it is a worker like any other: it runs under the supervisor, without a credential but the
//! gateway's token, and what it leaves is judged by `judge`.

mod checkpoint;
mod complexity;
mod context;
mod gateway;
mod model_limits;
mod pricing;
mod progress;
mod prompt;
mod protocol;
mod session;
mod settings;
mod tools;
mod transcript;
mod workplace;

use std::process::ExitCode;

use nix::sys::prctl;

use crate::text::print_line;

/// Exit code of a session that was stopped early.
const UNFINISHED: u8 = 3;
/// Exit code of a session that could not begin, or whose model could not be called.
const FAILED: u8 = 4;

/// Runs a session.
///
/// - **Guarantees:** no command of the model can read the memory or the environment of this process, where the token is.
pub fn run() -> ExitCode {
    if let Err(error) = prctl::set_dumpable(false) {
        print_line(&format!("coder: its memory cannot be closed to the model's commands: {error}"));
        return ExitCode::from(FAILED);
    }
    let settings = match settings::Settings::from_environment() {
        Ok(settings) => settings,
        Err(message) => {
            print_line(&format!("coder: {message}"));
            return ExitCode::from(FAILED);
        }
    };
    match session::run(&settings) {
        Ok(session::SessionEnd::Finished(_)) => ExitCode::SUCCESS,
        Ok(session::SessionEnd::Stopped(_)) => ExitCode::from(UNFINISHED),
        Err(message) => {
            print_line(&format!("coder: {message}"));
            ExitCode::from(FAILED)
        }
    }
}
