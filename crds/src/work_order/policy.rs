//! Rules for failures, money, time and delivery.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::result::FailureClass;
use crate::{Duration, Money};

/// Name of an object in the order's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The rules for attempts that fail for a reason other than the score.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.baseDelay) <= duration(self.maxDelay)").message("baseDelay must not be longer than maxDelay").field_path(".baseDelay"))]
pub struct Retry {
    /// Most attempts of a World, including the first one.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: i32,

    /// Wait before the second attempt.
    #[serde(default = "one_second")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('1h')").message("baseDelay must be at most 1h"))]
    pub base_delay: Duration,

    /// Factor by which each further wait is longer.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 10))]
    pub multiplier: i32,

    /// Longest wait.
    #[serde(default = "one_minute")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("maxDelay must be at most 24h"))]
    pub max_delay: Duration,

    /// Exceptions; the first match applies. Without a match, `Infrastructure`, `Worker` and `Evaluation` are retried and `Spec` fails the order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = Rule::new("self.map(r, has(r.onPodConditions) ? r.onPodConditions.map(c, size(bytes(c))).sum() : 0).sum() <= 4096").message("the onPodConditions of all rules may together have 4 KiB"))]
    pub rules: Vec<RetryRule>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: three(),
            base_delay: one_second(),
            multiplier: two(),
            max_delay: one_minute(),
            rules: Vec::new(),
        }
    }
}

/// The action after one kind of failure.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.onClass), has(self.onExitCodes), has(self.onPodConditions)].exists_one(x, x)").message("a rule has exactly one of onClass, onExitCodes and onPodConditions"))]
pub struct RetryRule {
    /// Matches failures of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_class: Option<FailureClass>,

    /// Matches a worker that ended with one of these exit codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50), inner(range(min = 1, max = 255)))]
    pub on_exit_codes: Option<Vec<i32>>,

    /// Matches a pod that has one of these conditions, such as `DisruptionTarget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 316)))]
    pub on_pod_conditions: Option<Vec<String>>,

    /// Action after the failure.
    pub action: RetryAction,
}

/// The action after a failure.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryAction {
    /// The World is tried again while it has attempts left.
    Retry,
    /// The World fails; the others go on.
    FailWorld,
    /// The whole order fails.
    FailOrder,
    /// The World is tried again, and this attempt does not count.
    Ignore,
}

/// One fallback when too few Worlds are eligible.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.acceptPartialSuccess), has(self.retryWithLowerTemperature), has(self.switchModel), has(self.waitForHuman), has(self.skip)].exists_one(x, x)").message("a fallback is exactly one of acceptPartialSuccess, retryWithLowerTemperature, switchModel, waitForHuman and skip"))]
pub struct Fallback {
    /// Fewer eligible Worlds are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_partial_success: Option<AcceptPartialSuccess>,
    /// The failed Worlds run again at a lower temperature. Those whose model accepts none run again unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_with_lower_temperature: Option<RetryWithLowerTemperature>,
    /// The failed Worlds run again with another model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_model: Option<SwitchModel>,
    /// The order waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_human: Option<WaitForHuman>,
    /// The order ends as succeeded without a winner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<Skip>,
}

/// Fewer eligible Worlds are enough.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptPartialSuccess {
    /// Eligible Worlds that are enough.
    #[schemars(range(min = 1, max = 50))]
    pub min_worlds: i32,
}

/// Failed Worlds run again at a lower temperature.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryWithLowerTemperature {
    /// Amount by which the temperature is lowered.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub reduction: f64,
}

/// Failed Worlds run again with another model.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwitchModel {
    /// The other model.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,
}

/// The order waits for a person.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitForHuman {
    /// Longest wait.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('720h')").message("timeout must be between 1s and 720h"))]
    pub timeout: Duration,
}

/// The order ends as succeeded without a winner.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {}

/// The most that an order may spend.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(self.maxCost).compareTo(quantity(oldSelf.maxCost)) >= 0").message("maxCost can only be raised").field_path(".maxCost"),
    validation = Rule::new("!has(self.maxTokens) || (has(oldSelf.maxTokens) && self.maxTokens >= oldSelf.maxTokens)").message("maxTokens can only be raised or removed"),
)]
pub struct Budget {
    /// Dollars, as a decimal text such as "5.00".
    pub max_cost: Money,

    /// Most tokens, input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<i64>,

    /// Effect on the order when the budget is used up.
    #[serde(default)]
    pub on_exceeded: BudgetExceeded,

    /// A Budget in the order's namespace that the order also spends from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ref: Option<LocalReference>,
}

/// The effect of a budget that is used up.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetExceeded {
    /// The Worlds stop, and continue when the budget is raised.
    #[default]
    Pause,
    /// The order ends.
    Stop,
}

/// The results that are enough to end the order early.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.score) || has(self.afterEligible)").message("earlyTermination needs score, afterEligible or both"))]
pub struct EarlyTermination {
    /// One eligible World with at least this score is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub score: Option<i32>,

    /// This many eligible Worlds are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub after_eligible: Option<i32>,
}

/// Whether a person must approve the delivery.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Approval {
    /// A person must approve.
    Required,
    /// No approval is needed.
    #[default]
    NotRequired,
}

/// The delivery of the winning change.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// `None` keeps the patch as an artifact; `Branch` and `PullRequest` push it.
    #[serde(default)]
    pub mode: DeliveryMode,

    /// Address of the forge's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub forge: Option<String>,

    /// A Secret with the forge's credential. Only the publisher sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,

    /// Labels of the pull request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    pub labels: Vec<String>,
}

/// The form of delivery.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryMode {
    /// The patch stays an artifact.
    #[default]
    None,
    /// A branch is pushed.
    Branch,
    /// A pull request is opened.
    PullRequest,
}

/// Time limits of waiting and running.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(oldSelf.start) || (has(self.start) && duration(self.start) >= duration(oldSelf.start))").message("deadlines.start can only be raised"),
    validation = Rule::new("!has(oldSelf.active) || (has(self.active) && duration(self.active) >= duration(oldSelf.active))").message("deadlines.active can only be raised"),
    validation = Rule::new("(!has(self.start) || duration(self.start) >= duration('1s') && duration(self.start) <= duration('8760h')) && (!has(self.active) || duration(self.active) >= duration('1s') && duration(self.active) <= duration('8760h'))").message("deadlines must be between 1s and 8760h"),
)]
pub struct Deadlines {
    /// Longest wait for the first World. Time while suspended does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Duration>,

    /// Longest run time from the first World on. Time while suspended does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Duration>,
}

/// The time that a finished order is kept.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(!has(self.afterSuccess) || duration(self.afterSuccess) <= duration('8760h')) && (!has(self.afterFailure) || duration(self.afterFailure) <= duration('8760h'))").message("ttl must be at most 8760h"))]
pub struct TimeToLive {
    /// Time after a success. Without it the order is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_success: Option<Duration>,

    /// Time after a failure or a cancellation. Without it the order is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_failure: Option<Duration>,
}

fn one_second() -> Duration {
    Duration::from_seconds(1)
}

fn one_minute() -> Duration {
    Duration::from_minutes(1)
}

fn two() -> i32 {
    2
}

fn three() -> i32 {
    3
}
