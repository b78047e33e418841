//! The worker `coder`: lets a model read, change and check the code by a few tools, until its checks pass or an end is due.
//!
//! - `protocol`: OpenAI's and Anthropic's tool calls behind one conversation.
//! - `gateway`: the way to the model: waits by itself where it is told to.
//! - `tools`: what the model may do. Nothing leads out of the worktree.
//! - `context`: what of a conversation is sent when it has grown too large (S4): pure.
//! - `complexity`: how hard a task looks, and which model is tried on it (W16): pure.
//! - `limits`: what a model takes and gives at most: pure.
//! - `terms`: what calls cost, and what the World may have: pure.
//! - `conduct`: when it is over although nobody said so: pure.
//!
//! **Architecture invariant:** it is a worker like any other: it runs under the supervisor, without a credential but the
//! gateway's token, and what it leaves is judged by `evaluate`.

mod checkpoint;
mod complexity;
mod conduct;
mod context;
mod gateway;
mod limits;
mod prompt;
mod protocol;
mod session;
mod settings;
mod terms;
mod tools;
mod transcript;

use std::process::ExitCode;

use crate::text::say;

/// Exit code of a session that ended before the model said that it was done.
const UNFINISHED: u8 = 3;
/// Exit code where it could not begin, or the model could not be called.
const FAILED: u8 = 4;

/// Runs a session.
pub fn run() -> ExitCode {
    let settings = match settings::Settings::from_environment() {
        Ok(settings) => settings,
        Err(message) => {
            say(&format!("coder: {message}"));
            return ExitCode::from(FAILED);
        }
    };
    match session::run(&settings) {
        Ok(session::Ended::Finished(_)) => ExitCode::SUCCESS,
        Ok(session::Ended::Early(_)) => ExitCode::from(UNFINISHED),
        Err(message) => {
            say(&format!("coder: {message}"));
            ExitCode::from(FAILED)
        }
    }
}
