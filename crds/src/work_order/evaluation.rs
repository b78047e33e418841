//! Evaluation of a World's change: gates, points and limits.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// The evaluation of a World's change.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Patterns of files that a worker may not change, such as `tests/**`. They are restored from the base commit before the gates run, and the World's reasons name the restored files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new("self.map(p, size(bytes(p))).sum() <= 8192").message("protectedPaths may together have 8 KiB; use fewer, wider patterns"))]
    pub protected_paths: Vec<String>,

    /// Whether a worker may change the files that steer the tools of the gates, such as `conftest.py`, a `Makefile` or the scripts in `package.json`.
    #[serde(default)]
    pub tool_files: ToolFiles,

    /// Patterns of files that a gate may leave for later gates, such as `target/`. Every other file that a gate makes is removed before the next one begins. Files of the commit and protected files are never kept as a gate left them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new("self.map(p, size(bytes(p))).sum() <= 8192").message("keep may have 8 KiB in all; use fewer, wider patterns"))]
    pub keep: Vec<String>,

    /// Lowest score of an eligible World.
    #[serde(default = "seventy")]
    #[schemars(range(min = 0, max = 100))]
    pub accept_score: i32,

    /// The checks, run in this order in a fresh checkout with the World's patch. Their points add up to 100; a gate that does not run earns nothing.
    #[serde(default = "size_alone")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(
        validation = Rule::new("self.all(g, self.exists_one(h, h.name == g.name))").message("the names of gates must be unique"),
        validation = Rule::new("self.map(g, g.points).sum() == 100").message("the points of the gates must add up to 100"),
    )]
    pub gates: Vec<Gate>,

    /// Image that the gates run in. The default is the worker's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,

    /// Network of the gates. `Inherit` lets them reach what the worker reaches.
    #[serde(default)]
    pub network: EvaluationNetwork,

    /// Whether a result counts when the kernel of the node cannot confine the gates (no Landlock or an old one, or no seccomp).
    #[serde(default)]
    pub sealing: Sealing,

    /// Most lines of a change, added and removed together.
    #[serde(default = "most_changed_lines")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_changed_lines: i32,

    /// Most bytes of the patch.
    #[serde(default = "most_patch_bytes")]
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub max_patch_bytes: i32,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            protected_paths: Vec::new(),
            tool_files: ToolFiles::default(),
            keep: Vec::new(),
            accept_score: seventy(),
            gates: size_alone(),
            image: None,
            network: EvaluationNetwork::default(),
            sealing: Sealing::default(),
            max_changed_lines: most_changed_lines(),
            max_patch_bytes: most_patch_bytes(),
        }
    }
}

/// The network of the pod in which the gates run.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvaluationNetwork {
    /// The gates reach the cluster's DNS and the artifact API, and nothing else.
    #[default]
    None,
    /// The gates reach what the worker reaches, such as the hosts of repositories.
    Inherit,
}

/// The rule for files that steer the tools of the gates.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolFiles {
    /// They are restored from the base commit before the gates run, like protected paths. Of a file that holds other things too, only the parts that steer tests are restored. The World's reasons name them.
    #[default]
    Protected,
    /// They are judged and delivered as the worker left them. For tasks that are about them.
    Allowed,
}

/// The rule for results of unconfined gates.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sealing {
    /// A World whose gates cannot be confined fails with the reason `NotSealed`.
    #[default]
    Required,
    /// The result counts and is marked as not sealed.
    Preferred,
}

/// One check of a World's change.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind == 'Size' || (has(self.command) && size(self.command) > 0)").message("a gate of this kind needs a command; only the kind Size works without one"),
    validation = Rule::new("self.kind != 'Size' || !has(self.command) || size(self.command) == 0").message("a gate of the kind Size has no command; use the kind Custom").field_path(".command"),
    validation = Rule::new("self.kind == 'Test' || !has(self.canary)").message("only a gate of the kind Test has a canary; leave canary out, or use the kind Test").field_path(".canary"),
)]
pub struct Gate {
    /// Name of the gate, unique within the order.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,

    /// What the gate checks. `Test` counts tests (JUnit XML, TAP, cargo, pytest, unittest, go, Jest, Vitest, node), gives partial credit and fails where none is counted; `Size` fails for an empty change or one above `maxChangedLines`; the others pass when their command exits with 0.
    pub kind: GateKind,

    /// Program and arguments, run in the checkout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 8192)))]
    pub command: Vec<String>,

    /// File in the checkout with JUnit XML that the command writes, or a pattern of such files. Without it the command's output is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub report: Option<String>,

    /// Two commands that show whether the test program still tells a failing test from a passing one. Without them the judge brings two tests of its own where it knows the test program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,

    /// Points of the gate. The points of all gates add up to 100.
    #[schemars(range(min = 0, max = 100))]
    pub points: i32,

    /// Whether a World that fails this gate is not eligible, whatever its points.
    #[serde(default)]
    pub required: bool,

    /// Time-out of the gate.
    #[serde(default = "ten_minutes")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("timeout must be between 1s and 24h"))]
    pub timeout: Duration,
}

/// Two commands of which one must succeed and one must not. They are run after a gate that earned points.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// A command that must exit with 0.
    pub passing: CanaryCommand,

    /// A command that must not exit with 0. If it does, the gate earns nothing.
    pub failing: CanaryCommand,
}

/// One command of a canary.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryCommand {
    /// Program and arguments, run in the checkout like those of the gate.
    #[schemars(length(min = 1, max = 16), inner(length(max = 1024)))]
    pub command: Vec<String>,
}

/// The kind of check of a gate.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GateKind {
    /// The change compiles.
    Build,
    /// The tests pass.
    Test,
    /// Style and static checks.
    Lint,
    /// The change contains no credential.
    Secrets,
    /// The change adds no harmful or unwanted dependency.
    Dependencies,
    /// The change adds no dangerous call.
    Dangerous,
    /// The change adds no unwanted licence.
    Licenses,
    /// The change is neither empty nor too large.
    Size,
    /// A check of your own.
    Custom,
}

fn size_alone() -> Vec<Gate> {
    vec![Gate {
        name: "size".to_owned(),
        kind: GateKind::Size,
        command: Vec::new(),
        report: None,
        canary: None,
        points: 100,
        required: true,
        timeout: ten_minutes(),
    }]
}

fn ten_minutes() -> Duration {
    Duration::from_minutes(10)
}

fn seventy() -> i32 {
    70
}

fn most_changed_lines() -> i32 {
    5_000
}

fn most_patch_bytes() -> i32 {
    1_048_576
}
