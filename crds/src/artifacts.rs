//! What a World leaves behind, and where it is stored and fetched.

use std::fmt::{self, Write};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most bytes that one artifact may have.
pub const MAXIMUM_BYTES: usize = 64 * 1024 * 1024;

/// Name of an artifact: a closed set, so that no path can be smuggled in.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactName {
    /// The World's change, as `git format-patch` writes it.
    Patch,
    /// The report document.
    Report,
    /// Log of the `prepare` stage.
    PrepareLog,
    /// Log of the `work` stage: what the worker printed.
    WorkLog,
    /// Log of the `evaluate` stage: what the gates printed.
    EvaluateLog,
    /// What the worker `coder` and its model said to each other, masked: JSON Lines.
    Transcript,
}

/// A name that no artifact has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "there is no artifact {name:?}; the names are patch, report, prepare-log, work-log, evaluate-log and transcript"
)]
pub struct UnknownArtifact {
    name: String,
}

impl ArtifactName {
    /// Every artifact.
    pub const ALL: [Self; 6] =
        [Self::Patch, Self::Report, Self::PrepareLog, Self::WorkLog, Self::EvaluateLog, Self::Transcript];

    /// Returns the name as it is written in paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "patch",
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

/// One stored artifact.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactDigest {
    /// Which one.
    pub name: ArtifactName,
    /// SHA-256 of its bytes, in hexadecimal.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// Its size.
    pub bytes: i64,
}

/// One stored artifact of an order, as the operator lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredArtifact {
    /// Name of the variant.
    pub world: String,
    /// Number of the attempt.
    pub attempt: i32,
    /// Which artifact.
    pub name: ArtifactName,
    /// Its size.
    pub bytes: u64,
}

/// The commit that a World found, and the answer: the one that all Worlds of the order start from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseCommit {
    /// 40 or 64 hexadecimal digits.
    pub commit: String,
}

/// An error of the operator's HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What went wrong.
    pub error: ApiErrorBody,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiErrorBody {
    /// One word for programs.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Header of a download: SHA-256 of the bytes, in hexadecimal.
pub const DIGEST_HEADER: &str = "x-manyworlds-sha256";

/// Returns bytes as hexadecimal digits, two for each.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the path at which a World stores an artifact.
pub fn upload_path(namespace: &str, world: &str, attempt: i32, name: ArtifactName) -> String {
    format!("/v1/worlds/{namespace}/{world}/{attempt}/artifacts/{name}")
}

/// Returns the path at which a World asks for the commit to start from.
pub fn base_path(namespace: &str, world: &str, attempt: i32) -> String {
    format!("/v1/worlds/{namespace}/{world}/{attempt}/base")
}

/// Returns the path at which people fetch an artifact of a World's last attempt that has it.
pub fn download_path(namespace: &str, order: &str, variant: &str, name: ArtifactName) -> String {
    format!("/v1/workorders/{namespace}/{order}/worlds/{variant}/artifacts/{name}")
}

/// Returns the path at which people list the artifacts of an order.
pub fn list_path(namespace: &str, order: &str) -> String {
    format!("/v1/workorders/{namespace}/{order}/artifacts")
}
