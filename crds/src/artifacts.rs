//! Artifacts: the stored files of a World, and the paths to store and fetch them.

use std::fmt::{self, Write};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most bytes that one artifact may have.
pub const MAXIMUM_BYTES: usize = 64 * 1024 * 1024;

/// Name of an artifact. The set is closed, so a name can never be a path.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactName {
    /// The World's change in the format of `git format-patch`, as it was judged.
    Patch,
    /// The change as the worker left it, in the same format. It is what is judged.
    Change,
    /// The report document.
    Report,
    /// Log of the `prepare` stage.
    PrepareLog,
    /// Log of the `work` stage: the output of the worker.
    WorkLog,
    /// Log of the pod that judges: the output of the gates.
    EvaluateLog,
    /// The masked conversation of the worker `coder` with its model, as JSON Lines.
    Transcript,
}

/// The error for a name that no artifact has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "there is no artifact {name:?}; the names are patch, change, report, prepare-log, work-log, evaluate-log and transcript"
)]
pub struct UnknownArtifact {
    name: String,
}

impl ArtifactName {
    /// Every artifact.
    pub const ALL: [Self; 7] =
        [Self::Patch, Self::Change, Self::Report, Self::PrepareLog, Self::WorkLog, Self::EvaluateLog, Self::Transcript];

    /// Returns the name as written in paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Change => "change",
            Self::Report => "report",
            Self::PrepareLog => "prepare-log",
            Self::WorkLog => "work-log",
            Self::EvaluateLog => "evaluate-log",
            Self::Transcript => "transcript",
        }
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for ArtifactName {
    type Err = UnknownArtifact;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| UnknownArtifact { name: text.to_owned() })
    }
}

/// The digest and size of a stored artifact.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactDigest {
    /// Name of the artifact.
    pub name: ArtifactName,
    /// SHA-256 of the bytes, in hexadecimal.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// Size in bytes.
    pub bytes: i64,
}

/// An entry of the operator's list of an order's artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredArtifact {
    /// Name of the variant.
    pub world: String,
    /// Number of the attempt.
    pub attempt: i32,
    /// Name of the artifact.
    pub name: ArtifactName,
    /// Size in bytes.
    pub bytes: u64,
}

/// The base commit. A World sends the one that it found; the operator answers with the one that all Worlds start from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseCommit {
    /// 40 or 64 hexadecimal digits.
    pub commit: String,
}

/// An error of the operator's HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// The error.
    pub error: ApiErrorBody,
}

/// The body of an API error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiErrorBody {
    /// One word for programs.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// One sentence on how to fix it.
    pub hint: String,
}

/// Header of a download: SHA-256 of the bytes, in hexadecimal.
pub const DIGEST_HEADER: &str = "x-manyworlds-sha256";

/// Returns bytes as hexadecimal digits, two per byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the path at which a World stores an artifact (`PUT`), and at which the pod that judges fetches its change (`GET`).
pub fn upload_path(namespace: &str, world: &str, attempt: i32, name: ArtifactName) -> String {
    format!("/v1/worlds/{namespace}/{world}/{attempt}/artifacts/{name}")
}

/// Returns the path at which a World asks for the base commit.
pub fn base_path(namespace: &str, world: &str, attempt: i32) -> String {
    format!("/v1/worlds/{namespace}/{world}/{attempt}/base")
}

/// Returns the path of the order's base: a bundle of git with the base commit, its history and its tags. The first World that has
/// it stores it (`PUT`), and the pods that judge fetch it (`GET`; `HEAD` tells whether it is there).
pub fn bundle_path(namespace: &str, world: &str, attempt: i32) -> String {
    format!("/v1/worlds/{namespace}/{world}/{attempt}/bundle")
}

/// Returns the path at which the pod that judges a World fetches what the gates give at the base (`GET`): a
/// [`BaselineDocument`](crate::baseline_document::BaselineDocument).
pub fn baseline_path(namespace: &str, world: &str, attempt: i32) -> String {
    format!("/v1/worlds/{namespace}/{world}/{attempt}/baseline")
}

/// Returns the path at which the pod that judges the base of an order stores what the gates give there (`PUT`), and at which
/// people fetch it (`GET`).
pub fn order_baseline_path(namespace: &str, order: &str) -> String {
    format!("/v1/workorders/{namespace}/{order}/baseline")
}

/// Returns the path at which the pod that judges the base of an order fetches that base (`GET`), as [`bundle_path`] has it.
pub fn order_bundle_path(namespace: &str, order: &str) -> String {
    format!("/v1/workorders/{namespace}/{order}/bundle")
}

/// Returns the path at which people fetch an artifact, from the last attempt of the World that has it.
pub fn download_path(namespace: &str, order: &str, variant: &str, name: ArtifactName) -> String {
    format!("/v1/workorders/{namespace}/{order}/worlds/{variant}/artifacts/{name}")
}

/// Returns the path at which people list the artifacts of an order.
pub fn list_path(namespace: &str, order: &str) -> String {
    format!("/v1/workorders/{namespace}/{order}/artifacts")
}
