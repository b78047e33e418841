//! The stages that run inside the two pods of a World's attempt, the one that works and the one that judges.
//!
//! ```text
//! prepare   repository -> mirror, worktree, order file      sees the repository's credential; stores the base
//! work      worktree -> changed files                       runs the worker, which may do what it likes in there
//! collect   changed files -> change                         runs nothing of the worker's; stores the change
//!
//! checkout  stored base and change -> mirror, order file    begins a pod that has nothing of the worker's but the change
//! judge     base + change -> gates -> report, score         trusts nothing that the worker left
//! ```
//!
//! **Architecture invariant:** what `judge` judges by comes from the order and the pinned commit, which the operator gives and
//! nobody can change afterwards; never from the worktree.

pub mod arguments;
pub mod checkout;
mod coder;
pub mod collect;
mod files;
mod git;
mod history;
pub mod judge;
pub mod layout;
mod note;
mod operator;
mod order;
pub mod prepare;
mod process;
mod programs;
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
        Command::Confine(confine) => return judge::confine::run(&confine),
        Command::Coder => return coder::run(),
        Command::Prepare => {
            report_panics(&layout, FailureClass::Infrastructure);
            prepare::run(&layout)
        }
        Command::Work => {
            report_panics(&layout, FailureClass::Worker);
            work::run(&layout)
        }
        Command::Collect => {
            // What it reads is the worker's.
            report_panics(&layout, FailureClass::Worker);
            collect::run(&layout)
        }
        Command::Checkout => {
            report_panics(&layout, FailureClass::Infrastructure);
            checkout::run(&layout)
        }
        Command::Judge => {
            report_panics(&layout, FailureClass::Evaluation);
            judge::run(&layout)
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
