//! Who is asking: a World's pod by its own token, or a person who may read the order.

use axum::http::{HeaderMap, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use manyworlds_api::{GROUP, labels};

use crate::index::OrderKey;

/// Why somebody is turned away.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// There is no token.
    #[error("the request has no bearer token")]
    NoToken,
    /// The token is not valid here.
    #[error("the token is not valid")]
    Token,
    /// The token is valid and not allowed to do this.
    #[error("{who} may not do this")]
    Forbidden {
        /// Whose token it is.
        who: String,
    },
    /// The API server could not be asked.
    #[error("the API server could not be asked about the token")]
    Review(#[source] kube::Error),
}

/// A pod that has shown its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodIdentity {
    /// Namespace of the pod.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its uid.
    pub(crate) uid: String,
}

/// Asks the API server whose a token is.
#[derive(Clone)]
pub(crate) struct TokenReviews(Client);

impl TokenReviews {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    /// Returns the pod that a token of an audience is bound to; nothing where it is nobody's, or no pod's.
    pub(crate) async fn pod(&self, token: &str, audience: &str) -> Result<Option<PodIdentity>, kube::Error> {
        let user = self.review(token, Some(audience)).await?;
        Ok(user.as_ref().and_then(pod_identity))
    }

    async fn review(&self, token: &str, audience: Option<&str>) -> Result<Option<UserInfo>, kube::Error> {
        let spec = TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: audience.map(|audience| vec![audience.to_owned()]),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let api: Api<TokenReview> = Api::all(self.0.clone());
        let status = api.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        // A reviewer that knows no audiences would answer for any; what it answers for has to be named.
        let meant = audience.is_none_or(|audience| {
            status.audiences.as_ref().is_some_and(|all| all.iter().any(|other| other == audience))
        });
        Ok(status.user.filter(|_| status.authenticated == Some(true) && meant))
    }
}

/// Asks the API server who somebody is and what they may do.
#[derive(Clone)]
pub(super) struct Access {
    client: Client,
    reviews: TokenReviews,
}

impl Access {
    pub(super) fn new(client: Client) -> Self {
        Self { reviews: TokenReviews::new(client.clone()), client }
    }

    /// Returns the pod whose token a request shows.
    pub(super) async fn pod(&self, headers: &HeaderMap) -> Result<PodIdentity, Refused> {
        let token = bearer(headers)?;
        let user = self.review(token, Some(labels::TOKEN_AUDIENCE)).await?.ok_or(Refused::Token)?;
        pod_identity(&user).ok_or_else(|| Refused::Forbidden { who: user.username.unwrap_or_default() })
    }

    /// Checks that a request comes from somebody who may read an order.
    pub(super) async fn reader(&self, headers: &HeaderMap, order: &OrderKey) -> Result<(), Refused> {
        let token = bearer(headers)?;
        let user = match self.review(token, Some(labels::TOKEN_AUDIENCE)).await? {
            Some(user) => user,
            None => self.review(token, None).await?.ok_or(Refused::Token)?,
        };
        let who = user.username.clone().unwrap_or_default();
        if self.may_read(user, order).await? { Ok(()) } else { Err(Refused::Forbidden { who }) }
    }

    async fn review(&self, token: &str, audience: Option<&str>) -> Result<Option<UserInfo>, Refused> {
        self.reviews.review(token, audience).await.map_err(Refused::Review)
    }

    async fn may_read(&self, user: UserInfo, order: &OrderKey) -> Result<bool, Refused> {
        let UserInfo { extra, groups, uid, username } = user;
        let spec = SubjectAccessReviewSpec {
            extra,
            groups,
            uid,
            user: username,
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some("workorders".to_owned()),
                namespace: Some(order.namespace.to_string()),
                name: Some(order.name.to_string()),
                verb: Some("get".to_owned()),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await.map_err(Refused::Review)?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Refused::NoToken)?;
    let token = value.strip_prefix("Bearer ").unwrap_or_default().trim();
    if token.is_empty() { Err(Refused::NoToken) } else { Ok(token) }
}

/// Returns the pod that a token is bound to.
fn pod_identity(user: &UserInfo) -> Option<PodIdentity> {
    let extra = user.extra.as_ref()?;
    let first = |key: &str| extra.get(key).and_then(|values| values.first()).cloned();
    let account = user.username.as_ref()?.strip_prefix("system:serviceaccount:")?;
    Some(PodIdentity {
        namespace: account.split(':').next()?.to_owned(),
        name: first("authentication.kubernetes.io/pod-name")?,
        uid: first("authentication.kubernetes.io/pod-uid")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(username: &str, keys: &[(&str, &str)]) -> UserInfo {
        let extra = keys
            .iter()
            .map(|(key, value)| (format!("authentication.kubernetes.io/{key}"), vec![(*value).to_owned()]))
            .collect();
        UserInfo { username: Some(username.to_owned()), extra: Some(extra), ..UserInfo::default() }
    }

    #[test]
    fn a_token_that_is_bound_to_a_pod_names_it() {
        let identity =
            pod_identity(&user("system:serviceaccount:team:default", &[("pod-name", "p"), ("pod-uid", "u")]));
        let expected = PodIdentity { namespace: "team".to_owned(), name: "p".to_owned(), uid: "u".to_owned() };
        assert_eq!(identity, Some(expected));
    }

    #[test]
    fn a_token_that_is_bound_to_no_pod_is_no_worlds() {
        assert_eq!(pod_identity(&user("system:serviceaccount:team:default", &[])), None);
        assert_eq!(pod_identity(&user("alice", &[("pod-name", "p"), ("pod-uid", "u")])), None);
    }
}
