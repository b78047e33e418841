//! How much, how long and how often a Provider is called.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// What may be sent in a minute, by all Worlds together. Any sixty seconds count, not those of the clock.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Calls.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_minute: i64,

    /// Tokens, input and output together.
    #[serde(default = "forty_thousand")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub tokens_per_minute: i64,

    /// Input tokens, where the Provider counts them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub input_tokens_per_minute: Option<i64>,

    /// Output tokens, where the Provider counts them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub output_tokens_per_minute: Option<i64>,

    /// Calls at the same time. Without it there is no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency: Option<i32>,

    /// How long a call waits for its turn before it is refused with 429 and a time to try again.
    #[serde(default = "two_minutes")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('1h')").message("maxWait must be at most 1h"))]
    pub max_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_minute: fifty(),
            tokens_per_minute: forty_thousand(),
            input_tokens_per_minute: None,
            output_tokens_per_minute: None,
            concurrency: None,
            max_wait: two_minutes(),
        }
    }
}

/// When a model that keeps failing is left alone. Each model has a breaker of its own.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// After this many failures in a row no call goes out.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 100))]
    pub failures: i32,

    /// After this long, single calls go out again.
    #[serde(default = "one_minute")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("openFor must be between 1s and 1h"))]
    pub open_for: Duration,

    /// After this many successes of them in a row, all do.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 100))]
    pub successes: i32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: five(), open_for: one_minute(), successes: two() }
    }
}

/// How long a call may take.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[self.connect, self.firstByte, self.idle, self.total].all(t, duration(t) >= duration('1s') && duration(t) <= duration('1h'))").message("timeouts must be between 1s and 1h"),
    validation = Rule::new("[self.connect, self.firstByte, self.idle].all(t, duration(t) <= duration(self.total))").message("connect, firstByte and idle must not be longer than total").field_path(".total"),
)]
pub struct Timeouts {
    /// Until the connection is there.
    #[serde(default = "ten_seconds")]
    pub connect: Duration,

    /// From there until the answer begins. An answer that is not streamed begins when all of it is there.
    #[serde(default = "ten_minutes")]
    pub first_byte: Duration,

    /// Between two parts of the answer.
    #[serde(default = "two_minutes")]
    pub idle: Duration,

    /// From the request until the answer begins, with all attempts and the waits between them. An answer that has begun goes on
    /// as long as its parts come within `idle`.
    #[serde(default = "thirty_minutes")]
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: ten_seconds(), first_byte: ten_minutes(), idle: two_minutes(), total: thirty_minutes() }
    }
}

/// How often a call is tried.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Attempts in total, the first one included, and those that the client makes by itself.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: i32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max_attempts: three() }
    }
}

fn two() -> i32 {
    2
}

fn three() -> i32 {
    3
}

fn five() -> i32 {
    5
}

fn fifty() -> i64 {
    50
}

fn forty_thousand() -> i64 {
    40_000
}

fn ten_seconds() -> Duration {
    Duration::from_seconds(10)
}

fn one_minute() -> Duration {
    Duration::from_minutes(1)
}

fn two_minutes() -> Duration {
    Duration::from_minutes(2)
}

fn ten_minutes() -> Duration {
    Duration::from_minutes(10)
}

fn thirty_minutes() -> Duration {
    Duration::from_minutes(30)
}
