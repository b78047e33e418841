//! Rate limits, breaker, time-outs and retries of a Provider.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// Rate limits of all Worlds together. They hold for every window of sixty seconds, not for minutes of the clock.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Calls per minute.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_minute: i64,

    /// Tokens per minute, input and output together.
    #[serde(default = "forty_thousand")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub tokens_per_minute: i64,

    /// Input tokens per minute, for a Provider that limits them separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub input_tokens_per_minute: Option<i64>,

    /// Output tokens per minute, for a Provider that limits them separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub output_tokens_per_minute: Option<i64>,

    /// Calls in flight at the same time. Unlimited by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency: Option<i32>,

    /// The longest wait of a call in the queue. After it the call is refused with 429 and `retry-after`.
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

/// Circuit breaker: it stops calls to a model that keeps failing. Each model has its own.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Failures in a row that open the breaker: no call is sent.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 100))]
    pub failures: i32,

    /// Time until single calls are sent again to test the model.
    #[serde(default = "one_minute")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("openFor must be between 1s and 1h"))]
    pub open_for: Duration,

    /// Successful test calls in a row that close the breaker.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 100))]
    pub successes: i32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: five(), open_for: one_minute(), successes: two() }
    }
}

/// Time-outs of a call.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[self.connect, self.firstByte, self.idle, self.total].all(t, duration(t) >= duration('1s') && duration(t) <= duration('1h'))").message("timeouts must be between 1s and 1h"),
    validation = Rule::new("[self.connect, self.firstByte, self.idle].all(t, duration(t) <= duration(self.total))").message("connect, firstByte and idle must not be longer than total").field_path(".total"),
)]
pub struct Timeouts {
    /// Time-out of connecting.
    #[serde(default = "ten_seconds")]
    pub connect: Duration,

    /// Time-out from the connection to the first byte of the answer. An answer that is not streamed begins when it is complete.
    #[serde(default = "ten_minutes")]
    pub first_byte: Duration,

    /// Longest pause between two parts of the answer.
    #[serde(default = "two_minutes")]
    pub idle: Duration,

    /// Time-out from the request to the first byte of the answer, with all attempts and the waits between them. An answer that has
    /// begun may take as long once more, while its parts arrive within `idle`. Then the call is charged at its upper bound.
    #[serde(default = "thirty_minutes")]
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: ten_seconds(), first_byte: ten_minutes(), idle: two_minutes(), total: thirty_minutes() }
    }
}

/// Retries of a call.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Most attempts of a call, including the first one and retries by the client itself.
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
