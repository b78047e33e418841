//! The responses to clients: those of upstream that are passed on, and the gateway's own.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Frame, SizeHint};
use manyworlds_api::provider::Protocol;
use serde_json::{Value, json};

use crate::access::ListedModel;
use crate::refusal::Refusal;

/// An error in the middle of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response to a client.
pub(crate) struct ClientResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// The body of a response.
pub struct Body(UnsyncBoxBody<Bytes, BoxError>);

impl Body {
    /// Returns a body that is there as a whole.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
    }

    /// Returns a body that comes in parts.
    pub(crate) fn streamed(body: impl hyper::body::Body<Data = Bytes, Error = BoxError> + Send + 'static) -> Self {
        Self(body.boxed_unsync())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The header that the official clients look at first to know whether to try again.
const SHOULD_RETRY: &str = "x-should-retry";
/// The header with the model that has answered, where it is not the one that was asked for.
const MODEL: &str = "x-manyworlds-model";

impl ClientResponse {
    /// Names the model that has answered instead of the wanted one.
    pub(crate) fn set_model(&mut self, model: &str) {
        if let Ok(model) = HeaderValue::from_str(model) {
            self.headers.insert(MODEL, model);
        }
    }

    /// Sets when to call again, where upstream has not: after its own time, or a second.
    pub(crate) fn set_retry_after(&mut self, retry_after: Option<Duration>) {
        let seconds = retry_after.map_or(1, |retry_after| retry_after.as_millis().div_ceil(1000).max(1));
        let seconds = HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX));
        self.headers.entry(RETRY_AFTER).or_insert(seconds);
    }

    /// Tells the client not to try again.
    pub(crate) fn forbid_retry(&mut self) {
        self.headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }

    /// Returns a response of the gateway's own.
    pub(crate) fn own(status: StatusCode, value: &Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers, body: Body::whole(value.to_string().into()) }
    }

    /// Returns a refusal in the client's protocol.
    pub(crate) fn refusal(reason: &Refusal, protocol: Protocol) -> Self {
        let mut answer = Self::own(reason.status(), &reason.body(protocol));
        if let Some(seconds) = reason.retry_after_seconds() {
            answer.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        let again = if reason.client_may_retry() { "true" } else { "false" };
        answer.headers.insert(SHOULD_RETRY, HeaderValue::from_static(again));
        answer
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let Self { status, headers, body } = self;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// Returns the list of models as the clients of a protocol expect it.
pub(crate) fn models(protocol: Protocol, listed: &[ListedModel]) -> Value {
    let all: Vec<_> = listed.iter().map(|listed| model(protocol, listed)).collect();
    match protocol {
        Protocol::OpenAi => json!({"object": "list", "data": all}),
        Protocol::Anthropic => {
            let (first, last) = (listed.first().map(|first| &first.name), listed.last().map(|last| &last.name));
            json!({"data": all, "has_more": false, "first_id": first, "last_id": last})
        }
        Protocol::Gemini => json!({"models": all}),
    }
}

/// Returns one model as the clients of a protocol expect it.
///
/// - **Shape:** `strength`, `prices`, `contextWindow`, `maxOutputTokens` and `costShare` beside the protocol's own fields where they are known; clients pass over fields that they do not know.
pub(crate) fn model(protocol: Protocol, listed: &ListedModel) -> Value {
    let name = &listed.name;
    let mut model = match protocol {
        Protocol::OpenAi => json!({"id": name, "object": "model", "created": 0, "owned_by": "manyworlds"}),
        Protocol::Anthropic => {
            json!({"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"})
        }
        Protocol::Gemini => json!({
            "name": format!("models/{name}"),
            "displayName": name,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }),
    };
    if let Some(strength) = listed.strength {
        model["strength"] = json!(strength);
    }
    if let Some(prices) = &listed.prices {
        model["prices"] = json!(prices);
    }
    if let Some(window) = listed.context_window {
        model["contextWindow"] = json!(window);
    }
    if let Some(most) = listed.max_output_tokens {
        model["maxOutputTokens"] = json!(most);
    }
    if let Some(share) = listed.cost_share {
        model["costShare"] = json!(share);
    }
    model
}

#[cfg(test)]
mod tests {
    use manyworlds_api::provider::Prices;

    use super::*;

    #[test]
    fn a_model_is_listed_with_its_money_and_its_limits_where_they_are_known() {
        let bare = ListedModel {
            name: "m".to_owned(),
            strength: None,
            prices: None,
            context_window: None,
            max_output_tokens: None,
            cost_share: None,
        };
        let money = |text: &str| text.parse().unwrap();
        let prices = Prices {
            input: money("3.00"),
            output: money("15.00"),
            cached: Some(money("0.30")),
            cache_write_5m: Some(money("3.75")),
            ..Prices::default()
        };
        let known = ListedModel {
            prices: Some(prices),
            context_window: Some(128_000),
            max_output_tokens: Some(4_096),
            cost_share: Some(money("1.25")),
            ..bare.clone()
        };
        for protocol in [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini] {
            let model = model(protocol, &known);
            assert_eq!(model["costShare"], "1.25");
            assert_eq!((&model["contextWindow"], &model["maxOutputTokens"]), (&json!(128_000), &json!(4_096)));
            let prices = ["input", "output", "cached", "cacheWrite5m"].map(|name| &model["prices"][name]);
            assert_eq!(prices, ["3.00", "15.00", "0.30", "3.75"]);
            let model = super::model(protocol, &bare);
            for name in ["prices", "contextWindow", "maxOutputTokens", "costShare"] {
                assert!(model.get(name).is_none(), "{model}");
            }
        }
    }
}
