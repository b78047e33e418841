//! The refusals of the gateway, in the client's own protocol.

use http::StatusCode;
use manyworlds_api::provider::Protocol;
use manyworlds_telemetry::RefusalLabel;
use serde_json::{Value, json};

use crate::endpoint::EndpointError;
use crate::fields::FieldsError;

/// Why the gateway refuses a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is not what its protocol says.
    #[error("the request cannot be read: {0}")]
    Request(String),
    /// The request asks for more than tokens of its model. The text names it and says what to do.
    #[error("{0}")]
    Policy(String),
    /// There is no token, or no World has it.
    #[error("no World has this token; send the one that the World's pod holds, as Bearer, x-api-key or x-goog-api-key")]
    Token,
    /// The World was stopped.
    #[error("this World was stopped; it makes no more calls")]
    Stopped,
    /// A budget is used up, or cannot be used. The text names it and says what to do.
    #[error("{0}")]
    Budget(String),
    /// The caller's variant does not have this model.
    #[error("this World may not call the model {0:?}; its variant names the one that it may")]
    Model(String),
    /// There is no such endpoint.
    #[error("{0}")]
    Endpoint(EndpointError),
    /// The body is too large.
    #[error("the request has more than {0} bytes")]
    Size(u64),
    /// The limits of the Provider leave no room in time.
    #[error("the limits of the Provider leave no room; try again in {retry_after_seconds} s")]
    Limit {
        /// When there will be room.
        retry_after_seconds: u64,
    },
    /// The breaker is open.
    #[error("the model {model:?} keeps failing and is left alone for {retry_after_seconds} s")]
    Breaker {
        /// Name of the model.
        model: String,
        /// When it will be tried again.
        retry_after_seconds: u64,
    },
    /// The Provider cannot be reached, or did not answer in time.
    #[error("the Provider did not answer")]
    Upstream,
    /// The client did not send its request in time.
    #[error("the request did not come in time")]
    Slow,
    /// The gateway itself cannot go on: no call is made without the ledger, and no token is trusted that cannot be checked.
    #[error("the gateway cannot take calls now; try again in a moment")]
    Unavailable,
    /// The gateway panicked in this request.
    #[error("the gateway has a fault, which its log names; this call has ended, and others go on")]
    Fault,
}

impl From<FieldsError> for Refusal {
    fn from(error: FieldsError) -> Self {
        Self::Request(error.to_string())
    }
}

impl Refusal {
    /// Returns the label in the metrics.
    pub const fn label(&self) -> RefusalLabel {
        match self {
            Self::Request(_) | Self::Policy(_) | Self::Endpoint(_) => RefusalLabel::Request,
            Self::Token => RefusalLabel::Token,
            Self::Stopped => RefusalLabel::Stopped,
            Self::Budget(_) => RefusalLabel::Budget,
            Self::Model(_) => RefusalLabel::Model,
            Self::Size(_) => RefusalLabel::Size,
            Self::Limit { .. } => RefusalLabel::Limit,
            Self::Breaker { .. } => RefusalLabel::Breaker,
            Self::Upstream => RefusalLabel::Upstream,
            Self::Slow => RefusalLabel::Slow,
            Self::Unavailable => RefusalLabel::Unavailable,
            Self::Fault => RefusalLabel::Fault,
        }
    }

    /// Returns the status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Budget(_) => StatusCode::PAYMENT_REQUIRED,
            Self::Stopped | Self::Model(_) => StatusCode::FORBIDDEN,
            Self::Request(_) | Self::Policy(_) | Self::Endpoint(EndpointError::Path) => StatusCode::BAD_REQUEST,
            Self::Endpoint(EndpointError::Unknown) => StatusCode::NOT_FOUND,
            Self::Endpoint(EndpointError::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Size(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Limit { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Breaker { .. } | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream => StatusCode::BAD_GATEWAY,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Returns the seconds of the `retry-after` header, where waiting helps.
    pub const fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::Limit { retry_after_seconds } | Self::Breaker { retry_after_seconds, .. } => {
                Some(*retry_after_seconds)
            }
            Self::Unavailable => Some(1),
            _ => None,
        }
    }

    /// Returns whether the client may try again, for the header `x-should-retry` that the official clients obey before all else.
    pub const fn client_may_retry(&self) -> bool {
        self.retry_after_seconds().is_some()
    }

    /// Returns the body of the answer.
    pub fn body(&self, protocol: Protocol) -> Value {
        let message = self.to_string();
        match protocol {
            Protocol::OpenAi => {
                let (kind, code) = self.openai();
                json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
            }
            Protocol::Anthropic => {
                json!({"type": "error", "error": {"type": self.anthropic(), "message": message}})
            }
            Protocol::Gemini => {
                json!({"error": {"code": self.status().as_u16(), "message": message, "status": self.gemini()}})
            }
        }
    }

    const fn openai(&self) -> (&'static str, &'static str) {
        match self {
            Self::Request(_) | Self::Policy(_) | Self::Size(_) | Self::Endpoint(_) => {
                ("invalid_request_error", "invalid_request")
            }
            Self::Token => ("invalid_request_error", "invalid_api_key"),
            Self::Stopped => ("invalid_request_error", "world_stopped"),
            Self::Budget(_) => ("insufficient_quota", "insufficient_quota"),
            Self::Model(_) => ("invalid_request_error", "model_not_found"),
            Self::Limit { .. } => ("tokens", "rate_limit_exceeded"),
            Self::Slow => ("invalid_request_error", "timeout"),
            Self::Breaker { .. } | Self::Upstream | Self::Unavailable | Self::Fault => ("server_error", "server_error"),
        }
    }

    const fn anthropic(&self) -> &'static str {
        match self {
            Self::Request(_) | Self::Policy(_) | Self::Slow => "invalid_request_error",
            Self::Token => "authentication_error",
            Self::Stopped | Self::Model(_) => "permission_error",
            Self::Budget(_) => "billing_error",
            Self::Endpoint(_) => "not_found_error",
            Self::Size(_) => "request_too_large",
            Self::Limit { .. } => "rate_limit_error",
            Self::Breaker { .. } => "overloaded_error",
            Self::Upstream | Self::Unavailable | Self::Fault => "api_error",
        }
    }

    const fn gemini(&self) -> &'static str {
        match self {
            Self::Request(_) | Self::Policy(_) | Self::Size(_) | Self::Slow => "INVALID_ARGUMENT",
            Self::Token => "UNAUTHENTICATED",
            Self::Stopped | Self::Model(_) => "PERMISSION_DENIED",
            Self::Budget(_) => "FAILED_PRECONDITION",
            Self::Endpoint(_) => "NOT_FOUND",
            Self::Limit { .. } => "RESOURCE_EXHAUSTED",
            Self::Breaker { .. } | Self::Upstream | Self::Unavailable => "UNAVAILABLE",
            Self::Fault => "INTERNAL",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_429_in_each_protocols_own_words() {
        let reason = Refusal::Limit { retry_after_seconds: 7 };
        assert_eq!((reason.status().as_u16(), reason.retry_after_seconds()), (429, Some(7)));
        assert_eq!(reason.body(Protocol::OpenAi)["error"]["code"], "rate_limit_exceeded");
        assert_eq!(reason.body(Protocol::Anthropic)["type"], "error");
        assert_eq!(reason.body(Protocol::Anthropic)["error"]["type"], "rate_limit_error");
        assert_eq!(reason.body(Protocol::Gemini)["error"]["code"], 429);
        assert_eq!(reason.body(Protocol::Gemini)["error"]["status"], "RESOURCE_EXHAUSTED");
    }

    #[test]
    fn clients_are_told_to_try_again_only_where_waiting_helps() {
        for reason in [
            Refusal::Token,
            Refusal::Stopped,
            Refusal::Budget("b".into()),
            Refusal::Model("m".into()),
            Refusal::Size(1),
            Refusal::Upstream,
        ] {
            assert!(!reason.client_may_retry(), "{reason}");
        }
        assert!(Refusal::Breaker { model: "m".into(), retry_after_seconds: 60 }.client_may_retry());
    }
}
