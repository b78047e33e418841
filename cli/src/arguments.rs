//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::stage::Stage;

/// Runs coding agents as parallel Worlds on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "kubectl-worlds", bin_name = "kubectl worlds", version)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Where and how
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Namespace of the order; that of the kubeconfig's context by default
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Path of the kubeconfig
    #[arg(long, global = true, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Whether the output has colours
    #[arg(long, global = true, default_value = "auto")]
    pub color: Color,
    /// Namespace of the operator, for patches and stored logs
    #[arg(long, global = true, default_value = "manyworlds-system")]
    pub operator_namespace: String,
    /// Address of the operator's artifact API; a port-forward to its pod by default
    #[arg(long, global = true, env = "MANYWORLDS_OPERATOR_URL")]
    pub operator_url: Option<String>,
    /// Token for the artifact API; that of the kubeconfig, or one made for this call, by default
    #[arg(long, global = true, env = "MANYWORLDS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// Whether the output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply the WorkOrders of a file
    Run(Run),
    /// Show the Worlds of an order while they run
    Watch(Order),
    /// Say why an order waits, why the winner won and why the others lost
    Explain(Order),
    /// List the orders
    #[command(visible_alias = "get")]
    List(List),
    /// Print the winning change, or that of a World
    Patch(Patch),
    /// Print what a stage of a World printed
    Logs(Logs),
    /// List what the Worlds of an order have left
    Artifacts(Order),
    /// End an order for good
    Cancel(Order),
    /// Stop the Worlds of an order until it is resumed
    Suspend(Order),
    /// Let a suspended order go on
    Resume(Order),
    /// Run an order again, as a new one
    Retry(Order),
    /// Write the completion of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// One order.
#[derive(Debug, Args)]
pub struct Order {
    /// Name of the WorkOrder
    pub order: String,
    /// Form of the output
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// How to list.
#[derive(Debug, Args)]
pub struct List {
    /// Form of the output
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Which orders to apply.
#[derive(Debug, Args)]
pub struct Run {
    /// File with WorkOrders as YAML or JSON; - for the standard input
    #[arg(short, long)]
    pub file: String,
    /// Watch until they are finished; the exit code is 0 when all have succeeded and 1 when not
    #[arg(long)]
    pub wait: bool,
}

/// Which patch to print.
#[derive(Debug, Args)]
pub struct Patch {
    /// Name of the WorkOrder
    pub order: String,
    /// World whose change is printed; the winner by default
    #[arg(long)]
    pub world: Option<String>,
    /// File to write to; the standard output by default
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

/// Which log to print.
#[derive(Debug, Args)]
pub struct Logs {
    /// Name of the WorkOrder
    pub order: String,
    /// Name of the World, such as alpha
    pub world: String,
    /// Stage
    #[arg(long, default_value = "work")]
    pub stage: Stage,
    /// Go on printing while it runs
    #[arg(short, long)]
    pub follow: bool,
    /// Number of the attempt; the last by default
    #[arg(long)]
    pub attempt: Option<i32>,
}
