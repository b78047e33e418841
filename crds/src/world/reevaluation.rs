//! How often a World was judged again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The requests by which a World was judged again.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldReevaluation {
    /// Name of the last one.
    #[schemars(length(max = 64))]
    pub request: String,
    /// Number of requests.
    pub count: i32,
    /// Number of the attempt whose change the last one is about.
    pub attempt: i32,
    /// Number of the last evaluation of that attempt before the request. Those up to it count no more.
    pub after_evaluation: i32,
}
