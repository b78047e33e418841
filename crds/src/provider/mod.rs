//! Provider: an API of models, with its key, prices and limits.

mod limits;
mod model;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use limits::{Breaker, Limits, Retries, Timeouts};
pub use model::{Model, PriceTier, Prices, Temperature};
pub use status::{BreakerState, ProviderStatus, WindowUse};

/// An API of models: its address, key, prices and limits.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "manyworlds.dev",
    version = "v1alpha1",
    kind = "Provider",
    plural = "providers",
    shortname = "prov",
    category = "manyworlds",
    namespaced,
    status = "ProviderStatus",
    derive = "PartialEq",
    doc = "A Provider is an API for models with its key, prices and limits. Orders in its namespace name its models in their variants; the key never enters a World.",
    printcolumn(name = "Protocol", type_ = "string", json_path = ".spec.protocol"),
    printcolumn(name = "Models", type_ = "integer", json_path = ".status.models", description = "Models that may be called, because their price is known"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the key and the prices are there"),
    printcolumn(name = "Reachable", type_ = "string", json_path = ".status.conditions[?(@.type==\"Reachable\")].status", description = "Whether the last calls were answered"),
    printcolumn(name = "Breaker", type_ = "string", json_path = ".status.breaker", description = "Closed lets calls through, Open does not"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.window.summary", description = "Share of the limits that the last minute used"),
    printcolumn(name = "Today", type_ = "string", json_path = ".status.costToday", description = "What today's calls have cost, in dollars"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", description = "One sentence on what is wrong", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')").message("the name of a Provider has at most 63 characters and no dots, because a variant writes it in front of a model"),
)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSpec {
    /// Wire protocol of the API. Calls are not translated, so the client in the World must speak it too.
    pub protocol: Protocol,

    /// Base address of the API, such as `https://api.openai.com/v1`, `https://api.anthropic.com` or `https://generativelanguage.googleapis.com`. Calls go nowhere else.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[A-Za-z0-9._:\\\\[\\\\]-]+(/[A-Za-z0-9._~/-]*)?$') && !self.contains('/..')").message("baseUrl must be an address such as https://api.openai.com/v1, without a user, a query or a fragment"))]
    pub base_url: String,

    /// Secret in the Provider's namespace with the API key. Without it calls have no key, as for a server of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,

    /// The models that may be called.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(m, self.exists_one(n, n.name == m.name))").message("the names of models must be unique"))]
    pub models: Vec<Model>,

    /// Rate limits of all Worlds together.
    #[serde(default)]
    pub limits: Limits,

    /// Circuit breaker for models that keep failing.
    #[serde(default)]
    pub breaker: Breaker,

    /// Time-outs of a call.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// Retries of a call.
    #[serde(default)]
    pub retries: Retries,
}

/// The wire protocol of a Provider.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// OpenAI: chat completions, responses, completions and embeddings. Many other servers speak it.
    #[serde(rename = "OpenAI")]
    OpenAi,
    /// Anthropic: messages.
    Anthropic,
    /// Gemini: `generateContent`.
    Gemini,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: &'static [Self] = &[Self::OpenAi, Self::Anthropic, Self::Gemini];

    /// Returns the protocol as written in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
            Self::Gemini => "Gemini",
        }
    }
}

/// One key of a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key in the Secret's data that holds the API key.
    #[serde(default = "api_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn api_key() -> String {
    "apiKey".to_owned()
}
