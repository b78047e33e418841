//! The worker `coder`: a model reads, changes and checks the code with a few tools, until its checks pass or a limit is reached.
//!
//! - `session`: the conversation from the task to its end.
//! - `protocol`: the messages of OpenAI and of Anthropic behind one conversation.
//! - `gateway`: the client of the gateway, which waits where it is told to.
//! - `tools`: the tools of the model. No path leads out of the worktree.
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

use std::process::ExitCode;

use crate::text::print_line;

/// Exit code of a session that was stopped early.
const UNFINISHED: u8 = 3;
/// Exit code of a session that could not begin, or whose model could not be called.
const FAILED: u8 = 4;

/// Runs a session.
pub fn run() -> ExitCode {
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
