//! Models and their prices.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Money;

/// A model that may be called.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Name of the model at the Provider, such as `gpt-5-mini`. Variants use this name, or `<provider>/<model>` when several Providers have it.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$"))]
    pub name: String,

    /// Prices of its tokens. The default is the operator's price table; a model without a price in either cannot be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,

    /// Most input tokens of a call. The default is in the price table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub context_window: Option<i64>,

    /// Most tokens of an answer. The default is in the price table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_output_tokens: Option<i64>,

    /// Your rating of the model, from 1 to 100. The model `auto` picks a stronger model for a harder task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub strength: Option<i32>,

    /// Whether the model accepts a temperature. With `Fixed` the gateway removes the temperature from every call. The default is in the price table, and `Settable` for a model that is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Temperature>,
}

/// Whether a model accepts a temperature.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Temperature {
    /// The variant's temperature is set in every call.
    #[default]
    Settable,
    /// The model refuses a temperature, so none is sent.
    Fixed,
}

/// Prices of the tokens of a model, in dollars per million.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// Input tokens.
    pub input: Money,

    /// Output tokens.
    pub output: Money,

    /// Input tokens read from the Provider's cache. The default is the price of `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Money>,

    /// Input tokens written to the Provider's cache for five minutes. The default is the price of `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Money>,

    /// Input tokens written to the Provider's cache for an hour. The default is the price of `cacheWrite5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Money>,

    /// Output tokens of reasoning. The default is the price of `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Money>,

    /// Price of a batch call in percent of the same single call.
    #[serde(default = "hundred")]
    #[schemars(range(min = 0, max = 100))]
    pub batch_percent: i32,

    /// Other prices for calls with much input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(validation = Rule::new("self.all(t, self.exists_one(u, u.above == t.above))").message("the sizes above which tiers begin must be unique"))]
    pub tiers: Vec<PriceTier>,
}

/// Prices of all tokens of a call with much input, in dollars per million.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceTier {
    /// The tier applies to calls with more input tokens than this, cached ones included.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub above: i64,

    /// Input tokens.
    pub input: Money,

    /// Output tokens.
    pub output: Money,

    /// Input tokens read from the Provider's cache. The default is the tier's price of `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Money>,

    /// Input tokens written to the Provider's cache for five minutes. The default is the tier's price of `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Money>,

    /// Input tokens written to the Provider's cache for an hour. The default is the price of `cacheWrite5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Money>,

    /// Output tokens of reasoning. The default is the tier's price of `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Money>,
}

fn hundred() -> i32 {
    100
}
