//! Provider: an API for models, with its key, prices and limits.

mod limits;
mod model;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use limits::{Breaker, Limits, Retries, Timeouts};
pub use model::{Model, PriceTier, Prices, Temperature};
pub use status::{BreakerState, ProviderStatus, WindowUse};

/// Where models are called, with which key, at which prices and within which limits.
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
    /// The protocol that it speaks. Calls are passed on as they come: a client of this protocol is needed in the World.
    pub protocol: Protocol,

    /// Its address as the protocol's own clients write it: `https://api.openai.com/v1`, `https://api.anthropic.com` or `https://generativelanguage.googleapis.com`. No call goes anywhere else.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[A-Za-z0-9._:\\\\[\\\\]-]+(/[A-Za-z0-9._~/-]*)?$') && !self.contains('/..')").message("baseUrl must be an address such as https://api.openai.com/v1, without a user, a query or a fragment"))]
    pub base_url: String,

    /// The Secret in the Provider's namespace that holds the key. Without it, calls are sent without a key, as servers of one's own take them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,

    /// The models that may be called.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(m, self.exists_one(n, n.name == m.name))").message("the names of models must be unique"))]
    pub models: Vec<Model>,

    /// What may be sent in a minute, by all Worlds together.
    #[serde(default)]
    pub limits: Limits,

    /// When a model that keeps failing is left alone.
    #[serde(default)]
    pub breaker: Breaker,

    /// How long a call may take.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// How often a call is tried.
    #[serde(default)]
    pub retries: Retries,
}

/// A protocol for calling models.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// Chat completions, responses, completions and embeddings as OpenAI has them, and many others after it.
    #[serde(rename = "OpenAI")]
    OpenAi,
    /// Messages as Anthropic has them.
    Anthropic,
    /// `generateContent` as Gemini has it.
    Gemini,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: &'static [Self] = &[Self::OpenAi, Self::Anthropic, Self::Gemini];

    /// Returns the protocol as it is written in a manifest.
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

    /// Name of its key under which the API key is.
    #[serde(default = "api_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn api_key() -> String {
    "apiKey".to_owned()
}
