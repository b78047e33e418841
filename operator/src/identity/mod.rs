//! Identity: whose token a request shows, which attempt of which World that is, or which pod of an order itself, and what it may
//! still do.
//!
//! ```text
//! token -> claims (unchecked) -> reviews (API server) -> pod -> attempt or order (index) -> permissions
//! ```
//!
//! **Architecture invariant:** the API server goes on accepting the token of a deleted pod for some seconds, and knows nothing
//! of stages. So it says whose a token is, and the watches say what its holder may do. Nobody else reviews tokens.

mod claims;
mod permissions;
mod reviews;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use manyworlds_api::GROUP;
use manyworlds_ledger::Caller;

use crate::index::lookup::{Attempt, OwnPod};
use crate::index::{Index, OrderKey};
use permissions::Permission;
use reviews::TokenReviews;
pub(crate) use reviews::{Audience, PodIdentity};

/// The longest wait of a call for the kubelet's report that its stage has begun.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which the index is asked meanwhile.
const REPORT_INTERVAL: Duration = Duration::from_millis(25);

/// The reason for which a token does not open what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The token is not valid for the audience.
    #[error("the token is not valid")]
    Invalid,
    /// The token names a pod that belongs to no order, or to none any more.
    #[error("the token is of a pod that belongs to no order")]
    NoPod,
    /// The token is valid and its holder may not do this.
    #[error("{who} may not do this")]
    Forbidden {
        /// Name of the holder.
        who: String,
    },
    /// The API server could not be asked.
    #[error("the API server could not be asked about the token")]
    Review(#[source] kube::Error),
}

/// The reason for which an attempt may not call models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAtWork {
    /// Its stage `work` has not begun, as far as the kubelet has reported.
    NotYet,
    /// It is over or stopped, or there is no such attempt.
    Over,
}

/// Answers the questions about tokens. Clones share what is remembered.
#[derive(Clone)]
pub(crate) struct Identities {
    client: Client,
    reviews: TokenReviews,
    index: Arc<Index>,
    report_timeout: Duration,
}

impl Identities {
    pub(crate) fn new(client: Client, index: Arc<Index>) -> Self {
        Self { reviews: TokenReviews::new(client.clone()), client, index, report_timeout: REPORT_TIMEOUT }
    }

    /// Returns the same for another thread, whose client asks the API server.
    pub(crate) fn through(&self, client: Client) -> Self {
        Self { reviews: self.reviews.through(client.clone()), client, ..self.clone() }
    }

    /// Answers whose token this is: the pod that it is bound to.
    ///
    /// # Errors
    ///
    /// [`IdentityError`].
    pub(crate) async fn pod_of_token(&self, token: &str, audience: Audience) -> Result<PodIdentity, IdentityError> {
        let claimed = claims::claimed_pod(token).ok_or(IdentityError::Invalid)?;
        if self.attempt_of_pod(&claimed).is_none() && self.own_pod(&claimed).is_none() {
            return Err(IdentityError::NoPod);
        }
        let reviewed = self.reviews.user_of_pod(token, audience, &claimed.uid).await.map_err(IdentityError::Review)?;
        let user = reviewed.ok_or(IdentityError::Invalid)?;
        let pod = PodIdentity::of_user(&user).filter(|pod| *pod == claimed);
        pod.ok_or_else(|| IdentityError::Forbidden { who: name(&user) })
    }

    /// Which order, World and attempt is this pod?
    pub(crate) fn attempt_of_pod(&self, pod: &PodIdentity) -> Option<Attempt> {
        self.index.attempt_of_pod(&pod.namespace, &pod.name).filter(|attempt| *attempt.pod.uid() == *pod.uid)
    }

    /// Which order itself owns this pod?
    pub(crate) fn own_pod(&self, pod: &PodIdentity) -> Option<OwnPod> {
        self.index.own_pod(&pod.namespace, &pod.name).filter(|own| *own.pod.uid() == *pod.uid)
    }

    /// May the worker of this pod call models? Returns its attempt. A report of the kubelet that is late is waited for.
    ///
    /// # Errors
    ///
    /// [`NotAtWork`].
    pub(crate) async fn attempt_at_work(&self, pod: &PodIdentity) -> Result<Attempt, NotAtWork> {
        let end = Instant::now() + self.report_timeout;
        loop {
            match self.attempt_of_pod(pod).ok_or(NotAtWork::Over).and_then(at_work) {
                Err(NotAtWork::NotYet) if Instant::now() < end => tokio::time::sleep(REPORT_INTERVAL).await,
                decided => return decided,
            }
        }
    }

    /// May this caller, who was at work before, still call models? Returns its attempt.
    ///
    /// # Errors
    ///
    /// [`NotAtWork`].
    pub(crate) fn caller_at_work(&self, caller: &Caller) -> Result<Attempt, NotAtWork> {
        let key = OrderKey { namespace: caller.namespace.as_str().into(), name: caller.work_order.as_str().into() };
        let pod = format!("{}-{}", caller.world, caller.attempt);
        let attempt = self
            .index
            .attempt(&key, &pod)
            .filter(|attempt| *attempt.order.uid() == *caller.order_uid && attempt.pod.owner.uid == caller.world_uid);
        attempt.ok_or(NotAtWork::Over).and_then(at_work)
    }

    /// May the holder of this token read an order?
    ///
    /// # Errors
    ///
    /// [`IdentityError`].
    pub(crate) async fn check_reader(&self, token: &str, order: &OrderKey) -> Result<(), IdentityError> {
        let user = match self.user(token, Audience::Artifacts).await? {
            Some(user) => user,
            None => self.user(token, Audience::ApiServer).await?.ok_or(IdentityError::Invalid)?,
        };
        if self.may_read(&user, order).await? { Ok(()) } else { Err(IdentityError::Forbidden { who: name(&user) }) }
    }

    async fn user(&self, token: &str, audience: Audience) -> Result<Option<Arc<UserInfo>>, IdentityError> {
        self.reviews.user(token, audience).await.map_err(IdentityError::Review)
    }

    async fn may_read(&self, user: &UserInfo, order: &OrderKey) -> Result<bool, IdentityError> {
        let UserInfo { extra, groups, uid, username } = user.clone();
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
        let answer = api.create(&PostParams::default(), &review).await.map_err(IdentityError::Review)?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn at_work(attempt: Attempt) -> Result<Attempt, NotAtWork> {
    match attempt.may_call_models() {
        Permission::Granted => Ok(attempt),
        Permission::NotYet => Err(NotAtWork::NotYet),
        Permission::Over => Err(NotAtWork::Over),
    }
}

fn name(user: &UserInfo) -> String {
    user.username.clone().unwrap_or_else(|| "a user without a name".to_owned())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::client::Body;
    use manyworlds_planner::observation::{OrderPod, StageState};
    use serde_json::json;
    use tower::service_fn;

    use super::*;
    use crate::index::fixtures::{at_work, judged_base, order, world};

    fn key() -> OrderKey {
        OrderKey { namespace: "team".into(), name: "fix".into() }
    }

    /// Returns what is known of the first attempt of the World alpha. The API server is not asked.
    fn identities(pod: OrderPod) -> Identities {
        let index = Arc::new(Index::default());
        index.order_seen(order(json!({})));
        index.world_seen(world("alpha", 0, json!({})));
        index.pod_seen(&key(), pod);
        let nobody = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
        Identities::new(Client::new(nobody, "default"), index)
    }

    fn pod(uid: &str) -> PodIdentity {
        PodIdentity { namespace: "team".to_owned(), name: "fix-alpha-1".to_owned(), uid: uid.to_owned() }
    }

    fn caller(order_uid: &str, world_uid: &str) -> Caller {
        Caller {
            namespace: "team".to_owned(),
            work_order: "fix".to_owned(),
            order_uid: order_uid.to_owned(),
            world: "fix-alpha".to_owned(),
            world_uid: world_uid.to_owned(),
            attempt: 1,
        }
    }

    #[tokio::test]
    async fn only_the_very_pod_and_the_very_world_are_at_work() {
        let identities = identities(at_work());
        let attempt = identities.attempt_at_work(&pod("p1")).await.unwrap();
        assert_eq!((&*attempt.key.name, attempt.pod.attempt), ("fix", 1));
        let another = identities.attempt_at_work(&pod("p0")).await;
        assert_eq!(another.map(drop), Err(NotAtWork::Over), "a pod of the same name");
        assert!(identities.caller_at_work(&caller("o", "w-alpha")).is_ok());
        for earlier in [caller("o0", "w-alpha"), caller("o", "w0")] {
            assert_eq!(identities.caller_at_work(&earlier).map(drop), Err(NotAtWork::Over), "{earlier:?}");
        }
    }

    #[tokio::test]
    async fn the_api_server_is_not_asked_about_a_token_that_names_no_pod_of_an_order() {
        let identities = identities(at_work());
        let asked = async |token: &str| identities.pod_of_token(token, Audience::Gateway).await.unwrap_err();
        // An API server that is asked answers with what nobody can read.
        assert!(matches!(asked("made up").await, IdentityError::Invalid));
        assert!(matches!(asked(&claims::token_of(&pod("another"))).await, IdentityError::NoPod));
        assert!(matches!(asked(&claims::token_of(&pod("p1"))).await, IdentityError::Review(_)));
    }

    /// W14: a pod that an order itself owns is known by its uid too, and never calls a model.
    #[tokio::test]
    async fn a_pod_of_an_order_itself_is_known_and_is_never_at_work() {
        let identities = identities(judged_base());
        let pod = |uid: &str| PodIdentity { name: "fix-baseline-e1".to_owned(), ..pod(uid) };
        assert!(identities.own_pod(&pod("b1")).is_some());
        assert!(identities.own_pod(&pod("b0")).is_none(), "a pod of the same name");
        assert_eq!(identities.attempt_at_work(&pod("b1")).await.map(drop), Err(NotAtWork::Over));
        let asked = async |uid: &str| {
            let token = claims::token_of(&pod(uid));
            identities.pod_of_token(&token, Audience::Artifacts).await.unwrap_err()
        };
        assert!(matches!(asked("b0").await, IdentityError::NoPod));
        assert!(matches!(asked("b1").await, IdentityError::Review(_)), "the API server is asked");
    }

    #[tokio::test]
    async fn a_first_call_that_is_faster_than_the_kubelets_report_waits_for_it() {
        let running = StageState::Running { since: None };
        let mut preparing = at_work();
        preparing.stages.set("prepare", running);
        preparing.stages.set("work", StageState::Pending);
        let identities = identities(preparing);
        let (pod, reported) = (pod("p1"), OrderPod { version: "2".parse().unwrap(), ..at_work() });
        let (attempt, ()) = tokio::join!(identities.attempt_at_work(&pod), async {
            tokio::task::yield_now().await;
            identities.index.pod_seen(&key(), reported);
        });
        assert_eq!(attempt.unwrap().pod.version.to_string(), "2");
    }

    #[tokio::test]
    async fn a_call_is_refused_before_the_worker_has_begun_and_after_it_has_ended() {
        let mut preparing = at_work();
        preparing.stages.set("prepare", StageState::Running { since: None });
        let preparing = Identities { report_timeout: Duration::from_millis(1), ..identities(preparing) };
        let refused = preparing.attempt_at_work(&pod("p1")).await;
        assert_eq!(refused.map(drop), Err(NotAtWork::NotYet));

        let mut worked = at_work();
        let ended = worked.stages.get("prepare").unwrap().clone();
        worked.stages.set("work", ended);
        let identities = identities(worked);
        assert_eq!(identities.attempt_at_work(&pod("p1")).await.map(drop), Err(NotAtWork::Over));
        assert_eq!(identities.caller_at_work(&caller("o", "w-alpha")).map(drop), Err(NotAtWork::Over));
    }
}
