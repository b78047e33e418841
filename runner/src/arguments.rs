//! The command line of the runner.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs one stage of a World.
#[derive(Debug, Parser)]
#[command(name = "manyworlds-runner", version)]
pub struct Arguments {
    /// Folder that every path of the stages is below
    #[arg(long, default_value = "/")]
    pub root: PathBuf,
    /// What to run
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetches the repository and makes the worktree
    Prepare,
    /// Runs the worker
    Work,
    /// Takes what the worker left
    Collect,
    /// Makes the checkout that is judged
    Checkout,
    /// Judges the change
    Judge,
    /// Changes the code by a model's advice: the worker of that name
    #[command(hide = true)]
    Coder,
    /// Runs a command that can write to a few folders only
    #[command(hide = true)]
    Confine(Confine),
}

/// A command and what it may do.
#[derive(Debug, Args)]
pub struct Confine {
    /// Folder that it may write to, but for what is hidden in it
    #[arg(long = "write")]
    pub write: Vec<PathBuf>,
    /// Folder that it may not even read
    #[arg(long = "hide")]
    pub hide: Vec<PathBuf>,
    /// Runs it even if the kernel cannot confine it
    #[arg(long)]
    pub best_effort: bool,
    /// The largest file that it may write, in bytes
    #[arg(long)]
    pub file_bytes: Option<u64>,
    /// Program and arguments; without any, prints what the kernel enforces
    #[arg(last = true)]
    pub command: Vec<String>,
}
