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

/// The options of every command alone, of a line that is not finished.
#[derive(Debug, Parser)]
#[command(name = "kubectl-worlds", disable_help_flag = true)]
pub struct Probe {
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
    /// Path of the kubeconfig; KUBECONFIG, which may list several, by default
    #[arg(long, global = true)]
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
    #[value(alias = "table")]
    Text,
    /// For people, with more columns and nothing cut.
    Wide,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

impl Output {
    /// Returns whether the resource itself is wanted rather than a view of it.
    pub const fn is_data(self) -> bool {
        match self {
            Self::Text | Self::Wide => false,
            Self::Json | Self::Yaml => true,
        }
    }
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
    Cancel(Names),
    /// Stop the Worlds of an order until it is resumed
    Suspend(Names),
    /// Let a suspended order go on
    Resume(Names),
    /// Run an order again, as a new one
    Retry(Retry),
    /// Write the completion of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Say what could come next; for kubectl_complete-worlds
    #[command(name = "__complete", hide = true)]
    Complete {
        /// What follows `kubectl worlds`, the word that is to be completed last
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
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

/// Some orders.
#[derive(Debug, Args)]
pub struct Names {
    /// Names of the WorkOrders
    #[arg(required = true, value_name = "ORDER")]
    pub orders: Vec<String>,
}

/// Which order to run again.
#[derive(Debug, Args)]
pub struct Retry {
    /// Name of the WorkOrder
    pub order: String,
    /// Watch the new order until it is finished; the exit code is 0 when it has succeeded and 1 when not
    #[arg(long)]
    pub wait: bool,
}

/// What to list.
#[derive(Debug, Args)]
pub struct List {
    /// Names of the WorkOrders; all of the namespace by default
    #[arg(value_name = "ORDER", conflicts_with = "all_namespaces")]
    pub orders: Vec<String>,
    /// The orders of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
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
    /// Name of the order instead of the one in the file, which may hold only one then
    #[arg(long)]
    pub name: Option<String>,
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
