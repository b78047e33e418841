//! The request to judge Worlds again, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request to judge the stored changes of Worlds again. Their workers do not run again.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reevaluation {
    /// Any name. A request is served once; another name is another request.
    #[schemars(length(min = 1, max = 64))]
    pub request: String,

    /// Name of the only variant that is judged again. Without it all are that have a stored change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub world: Option<String>,
}

/// The answer to the last request to judge Worlds again.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReevaluationStatus {
    /// Name of the request.
    #[schemars(length(max = 64))]
    pub request: String,

    /// The variants that are judged again; none where the request was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 16)))]
    pub worlds: Vec<String>,

    /// The reason for which it was refused, or for which some Worlds are not judged again, and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}
