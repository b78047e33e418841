//! The upstream of the figures.

use manyworlds_tests::Result;
use manyworlds_upstream::{Script, Upstream};
use serde_json::{Value, json};

/// Starts an upstream that answers every call the same.
///
/// # Errors
///
/// When it cannot be started.
pub async fn upstream(reply: &Value) -> Result<Upstream> {
    let script = json!({"models": {"*": [{"reply": reply}]}});
    Ok(Upstream::start(Script::read(&script.to_string())?).await?)
}
