//! Token reviews. The API server says whose a token is, and its answer is remembered for some seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::Client;
use kube::api::{Api, PostParams};
use manyworlds_api::labels;
use sha2::{Digest, Sha256};

/// The time for which a token is valid without another review. Its permissions are decided anew for each request.
const VALID: Duration = Duration::from_secs(10);
/// The time for which a token is invalid without another review.
const INVALID: Duration = Duration::from_secs(2);
/// The most tokens in a window that name one pod and turn out invalid. Further ones are refused unseen until the window is over.
const MOST_INVALID_OF_A_POD: u32 = 8;
/// The most reviews that are remembered. While there is no room, every request has its token reviewed.
const REMEMBERED: usize = 8192;

/// The service that a token was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Audience {
    /// The artifact API. The stages of our own image hold such a token.
    Artifacts,
    /// The gateway. The worker holds such a token.
    Gateway,
    /// The API server. People and programs hold such a token.
    ApiServer,
}

impl Audience {
    /// Returns the name of the audience; nothing for the one that the API server assumes by itself.
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Artifacts => Some(labels::TOKEN_AUDIENCE),
            Self::Gateway => Some(labels::GATEWAY_AUDIENCE),
            Self::ApiServer => None,
        }
    }
}

/// A pod, as a token that is bound to it names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodIdentity {
    /// Namespace of the pod.
    pub(crate) namespace: String,
    /// Name of the pod.
    pub(crate) name: String,
    /// Uid of the pod.
    pub(crate) uid: String,
}

impl PodIdentity {
    /// Returns the pod that a token is bound to; nothing for the token of a person or of a ServiceAccount without a pod.
    pub(crate) fn of_user(user: &UserInfo) -> Option<Self> {
        let extra = user.extra.as_ref()?;
        let first = |key: &str| extra.get(key).and_then(|values| values.first()).cloned();
        let account = user.username.as_ref()?.strip_prefix("system:serviceaccount:")?;
        Some(Self {
            namespace: account.split(':').next()?.to_owned(),
            name: first("authentication.kubernetes.io/pod-name")?,
            uid: first("authentication.kubernetes.io/pod-uid")?,
        })
    }
}

/// SHA-256 of a token: the token itself is not kept.
type Fingerprint = [u8; 32];

/// Reviews tokens. Clones share what is remembered.
#[derive(Clone)]
pub(crate) struct TokenReviews {
    client: Client,
    remembered: Arc<Mutex<HashMap<(Audience, Fingerprint), Review>>>,
    /// The tokens of a pod that turned out invalid, by its uid, with the end of the window in which they are counted.
    invalid: Arc<Mutex<HashMap<String, (u32, Instant)>>>,
    /// The turns of those whose tokens name one pod, by its uid.
    turns: Arc<Mutex<HashMap<String, Weak<Turn>>>>,
}

/// Held by the one whose token is reviewed now.
type Turn = tokio::sync::Mutex<()>;

/// An answer of the API server.
#[derive(Clone)]
struct Review {
    until: Instant,
    user: Option<Arc<UserInfo>>,
}

impl TokenReviews {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, remembered: Arc::default(), invalid: Arc::default(), turns: Arc::default() }
    }

    /// Returns reviews that are made through another client and remembered together with these.
    pub(crate) fn through(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// Returns the holder of a token that was issued for an audience; nothing where the token is not valid for it.
    ///
    /// # Errors
    ///
    /// [`kube::Error`] when the API server cannot be asked.
    pub(crate) async fn user(&self, token: &str, audience: Audience) -> Result<Option<Arc<UserInfo>>, kube::Error> {
        let (key, now) = (key(token, audience), Instant::now());
        if let Some(known) = self.known(&key, now) {
            return Ok(known.user);
        }
        let user = self.review(token, audience).await?.map(Arc::new);
        let until = now + if user.is_some() { VALID } else { INVALID };
        self.remember(key, Review { until, user: user.clone() }, now);
        Ok(user)
    }

    /// Returns the holder of a token that names a pod with a uid.
    ///
    /// - **Guarantees:** whoever invents tokens with the uid of a pod has few of them reviewed, one after the other, however many
    ///   come at once. Uids are hard to guess, so that a World can do this to itself alone.
    ///
    /// # Errors
    ///
    /// [`kube::Error`] when the API server cannot be asked.
    pub(crate) async fn user_of_pod(
        &self,
        token: &str,
        audience: Audience,
        pod_uid: &str,
    ) -> Result<Option<Arc<UserInfo>>, kube::Error> {
        if self.is_flooded(pod_uid) {
            return Ok(None);
        }
        if let Some(known) = self.known(&key(token, audience), Instant::now()) {
            return Ok(known.user);
        }
        let turn = self.turn(pod_uid);
        let _turn = turn.lock().await;
        // Those before may have been too many, or may have had the same token reviewed.
        if self.is_flooded(pod_uid) {
            return Ok(None);
        }
        let user = self.user(token, audience).await?;
        if user.is_none() {
            self.note_invalid(pod_uid, Instant::now());
        }
        Ok(user)
    }

    /// Returns what the API server has said of a token not long ago.
    fn known(&self, key: &(Audience, Fingerprint), now: Instant) -> Option<Review> {
        self.remembered().get(key).filter(|review| review.until > now).cloned()
    }

    /// Returns whether so many tokens of a pod were invalid that no other is reviewed now.
    fn is_flooded(&self, pod_uid: &str) -> bool {
        let is_flood = |(count, until): &(u32, Instant)| *count >= MOST_INVALID_OF_A_POD && *until > Instant::now();
        self.invalid().get(pod_uid).is_some_and(is_flood)
    }

    fn turn(&self, pod_uid: &str) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(pod_uid).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::default());
        turns.insert(pod_uid.to_owned(), Arc::downgrade(&turn));
        turn
    }

    fn note_invalid(&self, pod_uid: &str, now: Instant) {
        let mut invalid = self.invalid();
        invalid.retain(|_, (_, until)| *until > now);
        invalid.entry(pod_uid.to_owned()).or_insert((0, now + VALID)).0 += 1;
    }

    fn invalid(&self) -> MutexGuard<'_, HashMap<String, (u32, Instant)>> {
        self.invalid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, key: (Audience, Fingerprint), review: Review, now: Instant) {
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.retain(|_, review| review.until > now);
        }
        if remembered.len() < REMEMBERED {
            remembered.insert(key, review);
        }
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<(Audience, Fingerprint), Review>> {
        // What is remembered is whole after each line, whatever panics.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn review(&self, token: &str, audience: Audience) -> Result<Option<UserInfo>, kube::Error> {
        let spec = TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: audience.name().map(|audience| vec![audience.to_owned()]),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let status = api.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        // A reviewer that knows no audiences would answer for any; what it answers for has to be named.
        let is_meant = audience.name().is_none_or(|audience| {
            status.audiences.as_ref().is_some_and(|all| all.iter().any(|other| other == audience))
        });
        Ok(status.user.filter(|_| status.authenticated == Some(true) && is_meant))
    }
}

fn key(token: &str, audience: Audience) -> (Audience, Fingerprint) {
    (audience, Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

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
            PodIdentity::of_user(&user("system:serviceaccount:team:default", &[("pod-name", "p"), ("pod-uid", "u")]));
        let expected = PodIdentity { namespace: "team".to_owned(), name: "p".to_owned(), uid: "u".to_owned() };
        assert_eq!(identity, Some(expected));
    }

    #[test]
    fn a_token_that_is_bound_to_no_pod_is_no_worlds() {
        assert_eq!(PodIdentity::of_user(&user("system:serviceaccount:team:default", &[])), None);
        assert_eq!(PodIdentity::of_user(&user("alice", &[("pod-name", "p"), ("pod-uid", "u")])), None);
    }

    /// Returns reviews of an API server that knows the token `known` for the audiences that it answers with, and how often it
    /// was asked.
    fn reviews(answers_for: &[&str]) -> (TokenReviews, Arc<AtomicUsize>) {
        let (asked, audiences) = (Arc::new(AtomicUsize::new(0)), json!(answers_for));
        let count = asked.clone();
        let service = service_fn(move |request: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            let audiences = audiences.clone();
            async move {
                let bytes = request.into_body().collect_bytes().await.unwrap();
                let mut review: Value = serde_json::from_slice(&bytes).unwrap();
                let is_known = review["spec"]["token"] == "known";
                review["status"] =
                    json!({ "authenticated": is_known, "user": { "username": "alice" }, "audiences": audiences });
                Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&review).unwrap())))
            }
        });
        (TokenReviews::new(Client::new(service, "default")), asked)
    }

    #[tokio::test]
    async fn a_token_is_reviewed_once_in_a_while_for_each_audience() {
        let (reviews, asked) = reviews(&[labels::TOKEN_AUDIENCE, labels::GATEWAY_AUDIENCE]);
        let other = reviews.through(reviews.client.clone());
        for (audience, count) in [(Audience::Artifacts, 1), (Audience::Gateway, 2), (Audience::ApiServer, 3)] {
            for reviews in [&reviews, &other] {
                let user = reviews.user("known", audience).await.unwrap().unwrap();
                assert_eq!(user.username.as_deref(), Some("alice"));
                assert!(reviews.user("unknown", audience).await.unwrap().is_none());
            }
            assert_eq!(asked.load(Ordering::Relaxed), 2 * count, "once for each token, {audience:?}");
        }
    }

    #[tokio::test]
    async fn invented_tokens_of_one_pod_are_reviewed_a_few_times_and_those_of_another_as_before() {
        let (reviews, asked) = reviews(&[labels::GATEWAY_AUDIENCE]);
        for number in 0..100 {
            let user = reviews.user_of_pod(&format!("invented-{number}"), Audience::Gateway, "its-uid").await.unwrap();
            assert!(user.is_none());
        }
        assert_eq!(asked.load(Ordering::Relaxed), MOST_INVALID_OF_A_POD as usize);
        assert!(reviews.user_of_pod("known", Audience::Gateway, "its-uid").await.unwrap().is_none(), "it has to wait");
        assert!(reviews.user_of_pod("known", Audience::Gateway, "another").await.unwrap().is_some());
        // The window is over.
        reviews.note_invalid("another", Instant::now() + VALID);
        assert!(reviews.user_of_pod("known", Audience::Gateway, "its-uid").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn tokens_of_one_pod_that_come_at_once_are_reviewed_one_after_the_other() {
        let (reviews, asked) = reviews(&[labels::GATEWAY_AUDIENCE]);
        let invented: Vec<_> = (0..100).map(|number| format!("invented-{number}")).collect();
        let all = invented.iter().map(|token| reviews.user_of_pod(token, Audience::Gateway, "its-uid"));
        assert!(futures::future::join_all(all).await.into_iter().all(|user| user.unwrap().is_none()));
        assert_eq!(asked.load(Ordering::Relaxed), MOST_INVALID_OF_A_POD as usize);

        let calls = (0..100).map(|_| reviews.user_of_pod("known", Audience::Gateway, "another"));
        assert!(futures::future::join_all(calls).await.into_iter().all(|user| user.unwrap().is_some()));
        assert_eq!(asked.load(Ordering::Relaxed), MOST_INVALID_OF_A_POD as usize + 1, "the same token once");
        assert!(reviews.turns.lock().unwrap().values().all(|turn| turn.strong_count() == 0), "nobody is left");
    }

    #[tokio::test]
    async fn a_token_of_another_audience_is_nobodys() {
        let (reviews, _) = reviews(&[labels::TOKEN_AUDIENCE]);
        assert!(reviews.user("known", Audience::Artifacts).await.unwrap().is_some());
        assert!(reviews.user("known", Audience::Gateway).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_flood_of_tokens_is_not_remembered() {
        let (reviews, _) = reviews(&[]);
        let until = Instant::now() + VALID;
        for number in 0..REMEMBERED {
            let key = (Audience::Gateway, Sha256::digest(number.to_string()).into());
            reviews.remember(key, Review { until, user: None }, Instant::now());
        }
        assert!(reviews.user("known", Audience::ApiServer).await.unwrap().is_some(), "it is reviewed all the same");
        assert_eq!(reviews.remembered().len(), REMEMBERED);
        reviews.remember((Audience::Gateway, [0; 32]), Review { until, user: None }, until);
        assert_eq!(reviews.remembered().len(), 1, "what is over makes room");
    }
}
