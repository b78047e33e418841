//! Task of an order.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The task of an order.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The task in one line. It becomes the subject of the commit.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("!self.matches('[\\\\r\\\\n]')").message("title must be one line"))]
    pub title: String,

    /// Full description in Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 65536))]
    pub body: String,

    /// The issue that the task comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<IssueReference>,

    /// Kind of result: `Build` changes code, `Ask` answers a question, `Review` judges a change.
    #[serde(default)]
    pub mode: TaskMode,
}

/// An issue in a tracker.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssueReference {
    /// Address of the issue's page.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^\\\\s]+$')").message("write the issue's address as https://..."))]
    pub url: String,

    /// Number of the issue in its tracker.
    #[schemars(range(min = 1))]
    pub number: i64,
}

/// The kind of result.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskMode {
    /// A change of the code.
    #[default]
    Build,
    /// An answer to a question.
    Ask,
    /// A judgement on a change.
    Review,
}
