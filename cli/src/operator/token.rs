//! The token with which the operator is asked: the user's own, or one made for this call.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use manyworlds_api::labels::TOKEN_AUDIENCE;

use crate::commands::Session;
use crate::errors::Failure;

/// The account that may read orders and nothing else.
const ACCOUNT: &str = "manyworlds-artifact-reader";
/// How long a token made for one call is valid: the shortest that the API server gives.
const SECONDS: i64 = 600;

/// Returns a token.
///
/// # Errors
///
/// [`Failure::Operator`] when the user has none and may not make one.
pub(super) async fn find(session: &Session) -> Result<String, Failure> {
    if let Some(token) = session.global.token.clone().or_else(|| session.cluster.token.clone()) {
        return Ok(token);
    }
    let namespace = &session.global.operator_namespace;
    let accounts: Api<ServiceAccount> = Api::namespaced(session.cluster.client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![TOKEN_AUDIENCE.to_owned()],
            expiration_seconds: Some(SECONDS),
            bound_object_ref: None,
        },
        ..TokenRequest::default()
    };
    let made = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await;
    match made {
        Ok(TokenRequest { status: Some(status), .. }) => Ok(status.token),
        Ok(_) => Err(refused("the API server gave no token")),
        Err(error) => Err(refused(&error.to_string())),
    }
}

fn refused(why: &str) -> Failure {
    Failure::Operator(format!(
        "your kubeconfig has no token, and none could be made for ServiceAccount {ACCOUNT} ({why}); ask for the right to create serviceaccounts/token there, or give a token with --token"
    ))
}
