//! The stages that run inside the pods of a World: `prepare`, `work` and `evaluate`.
//!
//! ```text
//! prepare   repository -> mirror, worktree, order file      sees the repository's credential
//! work      worktree -> patch                               runs the worker, which may do what it likes in there
//! evaluate  base + patch -> gates -> report, score          trusts nothing that the worker left but the patch
//! ```
//!
//! **Architecture invariant:** what `evaluate` judges by comes from the order file and the pinned commit, which `prepare`
//! wrote and nobody can change afterwards; never from the worktree.

pub mod arguments;
mod coder;
pub mod evaluate;
mod files;
mod git;
pub mod layout;
mod operator;
mod order;
pub mod prepare;
mod process;
mod stage;
mod text;
mod tls;
pub mod work;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use layout::Layout;
use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
pub use stage::StageError;
use stage::finish;

/// Runs one stage.
pub fn run(arguments: Arguments) -> ExitCode {
    tls::install_provider();
    let layout = Layout::new(&arguments.root);
    let outcome = match arguments.command {
        Command::Confine(confine) => return evaluate::confine::run(&confine),
        Command::Coder => return coder::run(),
        Command::Prepare => {
            report_panics(&layout, FailureClass::Infrastructure);
            prepare::run(&layout)
        }
        Command::Work => {
            report_panics(&layout, FailureClass::Worker);
            work::run(&layout)
        }
        Command::Evaluate => {
            report_panics(&layout, FailureClass::Evaluation);
            evaluate::run(&layout)
        }
    };
    finish(&layout, outcome)
}

/// Makes a panic leave a report like any other failure does.
fn report_panics(layout: &Layout, class: FailureClass) {
    let layout = layout.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let told = panic.to_string().replace('\n', " ");
        let advice = "report it with the log of the stage";
        let error = StageError::new(class, Reason::Unexpected, format!("the runner has a fault, {advice}: {told}"));
        finish(&layout, Err(error));
        std::process::exit(stage::exit_code(class).into());
    }));
}
