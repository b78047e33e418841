//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::stage::Stage;

/// Runs coding agents as parallel Worlds on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "kubectl-worlds", bin_name = "kubectl worlds", version)]
pub struct Arguments {
    /// Command to run
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command
    #[command(flatten)]
    pub global: Global,
}

/// The global options of an unfinished command line, for completion.
#[derive(Debug, Parser)]
#[command(name = "kubectl-worlds", disable_help_flag = true)]
pub struct PartialArguments {
    /// Options of every command
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Namespace of the order [default: the namespace of the kubeconfig's context]
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig [default: its current context]
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Path of the kubeconfig [default: the files in KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// When to colour the output
    #[arg(long, global = true, default_value = "auto")]
    pub color: Color,
    /// Namespace of the operator, which stores patches and logs
    #[arg(long, global = true, default_value = "manyworlds-system")]
    pub operator_namespace: String,
    /// Address of the operator's artifact API, as http://HOST:PORT [default: a port-forward to its pod]
    #[arg(long, global = true, env = "MANYWORLDS_OPERATOR_URL")]
    pub operator_url: Option<String>,
    /// Token for the artifact API [default: the token of the kubeconfig, or one requested for this call]
    #[arg(long, global = true, env = "MANYWORLDS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// When to colour the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    #[value(alias = "table")]
    Text,
    /// Text with more columns and nothing cut.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Output {
    /// Returns whether the format is for programs: the resource itself as data.
    pub const fn is_data(self) -> bool {
        match self {
            Self::Text | Self::Wide => false,
            Self::Json | Self::Yaml => true,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply the WorkOrders of a file
    Run(Run),
    /// Show the Worlds of an order while they run
    Watch(Order),
    /// Explain why an order waits, why the winner won and why the others lost
    Explain(Order),
    /// List orders
    #[command(visible_alias = "get")]
    List(List),
    /// Print the patch of the winner or of another World
    Patch(Patch),
    /// Print the log of a stage of a World
    Logs(Logs),
    /// List the stored artifacts of an order
    Artifacts(Order),
    /// Cancel orders for good
    Cancel(Names),
    /// Stop the Worlds of orders until they are resumed
    Suspend(Names),
    /// Resume suspended orders
    Resume(Names),
    /// Run a finished order again, as a new order
    Retry(Retry),
    /// Judge the stored changes of an order's Worlds again; no worker runs
    Reevaluate(Reevaluate),
    /// Print the completion script for a shell
    Completion {
        /// Shell
        shell: Shell,
    },
    /// Print the candidates for the last word; for kubectl_complete-worlds
    #[command(name = "__complete", hide = true)]
    Complete {
        /// Words after `kubectl worlds`; the last one is completed
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Arguments of a command for one order.
#[derive(Debug, Args)]
pub struct Order {
    /// Name of the WorkOrder
    pub order: String,
    /// Output format
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Arguments of a command for several orders.
#[derive(Debug, Args)]
pub struct Names {
    /// Names of the WorkOrders
    #[arg(required = true, value_name = "ORDER")]
    pub orders: Vec<String>,
}

/// Arguments of `retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// Name of the WorkOrder
    pub order: String,
    /// Watch the new order until it is finished; exit with 0 when it succeeded, with 1 when not
    #[arg(long)]
    pub wait: bool,
}

/// Arguments of `reevaluate`.
#[derive(Debug, Args)]
pub struct Reevaluate {
    /// Name of the WorkOrder
    pub order: String,
    /// Name of the World, such as alpha [default: all that have a stored change]
    #[arg(long)]
    pub world: Option<String>,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Names of the WorkOrders [default: all of the namespace]
    #[arg(value_name = "ORDER", conflicts_with = "all_namespaces")]
    pub orders: Vec<String>,
    /// List the orders of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Output format
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// File with WorkOrders, as YAML or JSON; - is the standard input
    #[arg(short, long)]
    pub file: String,
    /// Name for the order instead of the one in the file, which must then hold one order
    #[arg(long)]
    pub name: Option<String>,
    /// Watch the orders until they are finished; exit with 0 when all succeeded, with 1 when not
    #[arg(long)]
    pub wait: bool,
}

/// Arguments of `patch`.
#[derive(Debug, Args)]
pub struct Patch {
    /// Name of the WorkOrder
    pub order: String,
    /// Name of the World, such as alpha [default: the winner]
    #[arg(long)]
    pub world: Option<String>,
    /// File to write to [default: the standard output]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Name of the WorkOrder
    pub order: String,
    /// Name of the World, such as alpha
    pub world: String,
    /// Stage of the World
    #[arg(long, default_value = "work")]
    pub stage: Stage,
    /// Wait for the stage and print its log while it runs
    #[arg(short, long)]
    pub follow: bool,
    /// Number of the attempt [default: the last one]
    #[arg(long)]
    pub attempt: Option<i32>,
}
