//! Models and what their tokens cost.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Money;

/// A model that may be called.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Its name as the Provider knows it, such as `gpt-5-mini`. Variants name it so, or as `<provider>/<model>` where several Providers have it.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$"))]
    pub name: String,

    /// What its tokens cost. Without it the price table that comes with the operator holds; a model that is in neither cannot be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,

    /// How many input tokens a call may have. Without it the price table's figure holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub context_window: Option<i64>,

    /// How many tokens an answer has at most. Without it the price table's figure holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_output_tokens: Option<i64>,

    /// How able the model is, from 1 to 100, in the view of who writes the manifest. Harder tasks go to stronger models where a choice is left open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub strength: Option<i32>,

    /// Whether the model takes a temperature. With `Fixed` the gateway takes the temperature out of every call, whatever the variant or the worker says. Without it the price table's word holds, and for a model that is not there `Settable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Temperature>,
}

/// Whether a model takes a temperature.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Temperature {
    /// The variant's temperature is set in every call.
    #[default]
    Settable,
    /// The model has one of its own and refuses calls that say another: none is sent.
    Fixed,
}

/// What the tokens of a model cost, in dollars for a million of them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// Input tokens.
    pub input: Money,

    /// Output tokens.
    pub output: Money,

    /// Input tokens that came from the Provider's cache. Without it they cost what others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Money>,

    /// Input tokens that were written to the Provider's cache for five minutes. Without it they cost what others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Money>,

    /// Input tokens that were written to the Provider's cache for an hour. Without it they cost what those for five minutes do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Money>,

    /// Output tokens that were spent on reasoning. Without it they cost what others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Money>,

    /// What a call of a batch costs, in percent of the same call by itself.
    #[serde(default = "hundred")]
    #[schemars(range(min = 0, max = 100))]
    pub batch_percent: i32,

    /// Other prices for calls with much input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(validation = Rule::new("self.all(t, self.exists_one(u, u.above == t.above))").message("the sizes above which tiers begin must be unique"))]
    pub tiers: Vec<PriceTier>,
}

/// The prices of every token of a call whose input is larger than a size, in dollars for a million of them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceTier {
    /// The tier holds for calls with more input tokens than this, cached ones included.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub above: i64,

    /// Input tokens.
    pub input: Money,

    /// Output tokens.
    pub output: Money,

    /// Input tokens that came from the Provider's cache. Without it they cost what others of the tier do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Money>,

    /// Input tokens that were written to the Provider's cache for five minutes. Without it they cost what others of the tier do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Money>,

    /// Input tokens that were written to the Provider's cache for an hour. Without it they cost what those for five minutes do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Money>,

    /// Output tokens that were spent on reasoning. Without it they cost what others of the tier do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Money>,
}

fn hundred() -> i32 {
    100
}
