//! The voters that rank eligible Worlds.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The voters that rank eligible Worlds.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.quorum <= size(self.voters)").message("quorum must not be greater than the number of voters").field_path(".quorum"))]
pub struct Council {
    /// The voters.
    #[schemars(length(min = 1, max = 9))]
    #[x_kube(validation = Rule::new("self.all(v, self.exists_one(w, w.name == v.name))").message("the names of voters must be unique"))]
    pub voters: Vec<Voter>,

    /// Valid votes that are needed.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 9))]
    pub quorum: i32,

    /// How often a voter is asked again after an invalid vote.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 10))]
    pub max_retries: i32,

    /// Result without a quorum.
    #[serde(default)]
    pub on_failure: CouncilFailure,
}

/// One voter.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Voter {
    /// Name of the voter.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,

    /// Model of the voter.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,

    /// Point of view from which the voter judges a change.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub stance: String,
}

/// The result of a council without a quorum.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CouncilFailure {
    /// The World with the highest score wins.
    #[default]
    HighestScore,
    /// No World wins.
    NoWinner,
}

fn two() -> i32 {
    2
}

fn three() -> i32 {
    3
}
