//! The token for the artifact API: given by the user, from the kubeconfig, or requested for this call.

use http::{Request, Response, header};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Config;
use kube::api::{Api, PostParams};
use kube::client::{Body, ConfigExt};
use manyworlds_api::labels::TOKEN_AUDIENCE;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::errors::Failure;
use crate::session::Session;

/// ServiceAccount that may read orders and nothing else.
const ACCOUNT: &str = "manyworlds-artifact-reader";
/// Lifetime of a requested token in seconds: the shortest that the API server grants.
const LIFETIME_SECONDS: i64 = 600;

/// Returns a token for the artifact API.
///
/// # Errors
///
/// [`Failure::Operator`] when the user has none and may not make one.
pub(super) async fn find(session: &Session) -> Result<String, Failure> {
    if let Some(token) = session.global.token.clone() {
        return Ok(token);
    }
    // The user's own token can do all that the user may, so it goes only where the connection is encrypted: through the
    // port-forward, not to an address given with --operator-url.
    if session.global.operator_url.is_none()
        && let Some(token) = own_token(&session.cluster.config).await
    {
        return Ok(token);
    }
    let namespace = &session.global.operator_namespace;
    let accounts: Api<ServiceAccount> = Api::namespaced(session.cluster.client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![TOKEN_AUDIENCE.to_owned()],
            expiration_seconds: Some(LIFETIME_SECONDS),
            bound_object_ref: None,
        },
        ..TokenRequest::default()
    };
    let made = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await;
    match made {
        Ok(TokenRequest { status: Some(status), .. }) => Ok(status.token),
        Ok(_) => Err(refused("the API server gave no token")),
        Err(error) => Err(refused(&Failure::from(error).to_string())),
    }
}

/// Returns the bearer token of the kubeconfig: an inline one, one from a file, or one from a credential program.
async fn own_token(config: &Config) -> Option<String> {
    let layer = config.auth_layer().ok()??;
    // The client's authentication layer adds the header to a request that is not sent; this service returns its headers.
    let echo_headers = service_fn(|request: Request<Body>| async move {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = request.into_parts().0.headers;
        Ok::<_, BoxError>(response)
    });
    let signed = layer.layer(echo_headers).oneshot(Request::new(Body::empty())).await.ok()?;
    let header = signed.headers().get(header::AUTHORIZATION)?;
    header.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned)
}

fn refused(why: &str) -> Failure {
    Failure::Operator(format!(
        "the operator asks for a token, and none could be made for ServiceAccount {ACCOUNT}: {why}; ask for the right to create serviceaccounts/token there, or give a token with --token"
    ))
}
