//! A server that speaks like the APIs of models and answers by a script: OpenAI, Anthropic and Gemini, streamed and not.
//!
//! It records what arrives, so that a test can compare what a gateway says with what upstream saw.

mod conversation;
mod limit;
mod render;
mod script;
mod server;

pub use script::{RateLimit, Reply, Rule, Script, ScriptError, ToolCall, Usage};
pub use server::{Call, Upstream};
