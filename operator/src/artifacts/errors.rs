//! The errors of the artifact API, and how a client reads them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use manyworlds_api::artifacts::{ApiError, ApiErrorBody, MAXIMUM_BYTES};
use manyworlds_api::errors::error_chain;

use super::baselines::MOST_BASELINE_BYTES;
use super::quota::{MOST_BUNDLE_BYTES, OverQuota};
use super::store::{PutError, StoreError};
use crate::identity::IdentityError;

/// The reason for which a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the request has no bearer token")]
    NoToken,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the token is not that of a running pod of World {world}, attempt {attempt}")]
    NotThisWorld { world: String, attempt: i32 },
    #[error("attempt {attempt} of World {world} has come too far, or is over, and may not store {what} any more")]
    StageOver { world: String, attempt: i32, what: String },
    #[error("attempt {attempt} of World {world} may not read {what}, or not any more")]
    NotReadable { world: String, attempt: i32, what: String },
    #[error("the token is not that of a running pod of the order {order} itself")]
    NotThisOrder { order: String },
    #[error("this pod of the order {order} may not {what}, or not any more")]
    OrderPodMayNot { order: String, what: &'static str },
    #[error("an artifact has at most {} MiB", MAXIMUM_BYTES >> 20)]
    TooLarge,
    #[error("the base of an order has at most {} MiB; its history cannot be judged", MOST_BUNDLE_BYTES >> 20)]
    BundleTooLarge,
    #[error("what the gates give at the base has at most {} MiB", MOST_BASELINE_BYTES >> 20)]
    BaselineTooLarge,
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    #[error("the body did not come in time")]
    Slow,
    #[error("too many uploads are under way")]
    Busy,
    #[error("the volume for artifacts is full")]
    Full,
    #[error("the body broke off: {0}")]
    Broken(String),
    #[error("there is no {what}")]
    NotFound { what: String },
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the operator has a fault, which its log names")]
    Fault,
}

impl RequestError {
    fn describe(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoToken | Self::Identity(IdentityError::Invalid) => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "send 'Authorization: Bearer <token>' with a valid token")
            }
            Self::Identity(IdentityError::Forbidden { .. }) => {
                (StatusCode::FORBIDDEN, "forbidden", "ask for the verb get on this WorkOrder")
            }
            Self::NotThisWorld { .. } | Self::Identity(IdentityError::NoPod) => {
                (StatusCode::FORBIDDEN, "forbidden", "a pod may only store what belongs to its own attempt")
            }
            Self::NotThisOrder { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", "use the token of a pod that the order itself owns")
            }
            Self::OrderPodMayNot { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", "a pod does only what its stage is for, and only while it runs")
            }
            Self::StageOver { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", "a stage may only store what is its own, and only while it runs")
            }
            Self::NotReadable { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", "a pod reads only what it judges, and only while it runs")
            }
            Self::NotFound { .. } => {
                (StatusCode::NOT_FOUND, "not_found", "'kubectl worlds artifacts' lists what there is")
            }
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid", "correct the request"),
            Self::Broken(_) => (StatusCode::BAD_REQUEST, "broken", "send the whole body"),
            Self::BaselineTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "have the gates name fewer test cases")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "store less"),
            Self::BundleTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "have the order fetch a smaller repository")
            }
            Self::OverQuota(_) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "over_quota",
                "store less, delete orders whose artifacts nobody needs, or raise the bound",
            ),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "slow", "try again"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy", "try again"),
            Self::Full => (
                StatusCode::INSUFFICIENT_STORAGE,
                "full",
                "make the volume larger, or delete orders whose artifacts nobody needs",
            ),
            Self::Identity(IdentityError::Review(_)) | Self::Store(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again")
            }
            Self::Fault => (StatusCode::INTERNAL_SERVER_ERROR, "fault", "report it with the operator's log"),
        }
    }
}

impl From<PutError> for RequestError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::TooLarge => Self::TooLarge,
            PutError::Body(why) => Self::Broken(why),
            PutError::Full => Self::Full,
            PutError::Store(error) => Self::Store(error),
        }
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let (status, code, hint) = self.describe();
        if status.is_server_error() {
            tracing::warn!(error = %error_chain(&self), "an artifact request failed");
        }
        let error = ApiErrorBody { code: code.to_owned(), message: self.to_string(), hint: hint.to_owned() };
        (status, Json(ApiError { error })).into_response()
    }
}
