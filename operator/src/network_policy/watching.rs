//! The watch of the Worlds' network policies, and the loop that puts back what somebody has changed or removed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Config;
use manyworlds_planner::resources::WorldPolicy;
use manyworlds_telemetry::Metrics;

use super::policies::Policies;
use super::standing::SeenPolicy;
use crate::errors::ReconcileError;
use crate::index::Index;
use crate::reconcile::controller::Controller;
use crate::reconcile::queue::{Scheduled, WorkQueue};
use crate::reconcile::steps::Reconcile;
use crate::watch::deleted::DeletedObject;
use crate::watch::observer::Observer;
use crate::watch::watches::Watches;

/// The wait before a policy is put back. Somebody who changes it again and again causes ten writes a second, and no more.
const REST: Duration = Duration::from_millis(100);
/// The most policies that are put back at the same time.
const CONCURRENCY: usize = 4;

/// Starts to watch the policies. The namespaces of those that are not as they were written are put into a work queue.
pub(crate) fn watch(watches: &mut Watches, policies: &Policies, queue: &WorkQueue<Arc<str>>) {
    for policy in WorldPolicy::ALL {
        // By its name and not by its label: who takes the label off takes the policy out of nobody's sight. A selector of fields
        // takes one name.
        let config = Config::default().fields(&format!("metadata.name={}", policy.name()));
        watches.start(config, Observed { policy, policies: policies.clone(), queue: queue.clone() });
    }
}

/// Returns the loop that puts policies back.
pub(crate) fn controller(
    policies: Policies,
    index: Arc<Index>,
    queue: (WorkQueue<Arc<str>>, Scheduled<Arc<str>>),
    metrics: &Metrics,
) -> Controller<PolicyReconciler> {
    Controller::new(PolicyReconciler { policies, index }, queue, metrics, CONCURRENCY)
}

/// Resolves when everything that exists has been seen. Every namespace in which Worlds run is looked at then, because its policy
/// may have gone while nobody watched.
pub(crate) async fn synced(watches: impl Future<Output = ()>, index: Arc<Index>, queue: WorkQueue<Arc<str>>) {
    watches.await;
    for namespace in index.active_namespaces() {
        queue.add(namespace);
    }
}

/// Observes one of the policies, in all namespaces.
struct Observed {
    policy: WorldPolicy,
    policies: Policies,
    queue: WorkQueue<Arc<str>>,
}

impl Observed {
    /// Has a namespace looked at whose policy is not as it was written.
    fn wake(&self, namespace: Arc<str>) {
        let is_in_place = self.policies.standing(self.policy).is_in_place(&namespace);
        if !is_in_place {
            self.queue.add_after(namespace, REST);
        }
    }
}

impl Observer for Observed {
    type Object = PartialObjectMeta<NetworkPolicy>;

    fn on_applied(&self, policy: PartialObjectMeta<NetworkPolicy>) {
        let Some(policy) = SeenPolicy::of(&policy.metadata) else { return };
        let namespace = policy.namespace.clone();
        self.policies.standing(self.policy).seen(policy);
        self.wake(namespace);
    }

    fn on_deleted(&self, object: &DeletedObject) {
        let Some(namespace) = object.namespace.clone() else { return };
        self.policies.standing(self.policy).gone(&namespace, &object.uid, object.version);
        self.wake(namespace);
    }
}

/// Looks at the policies of namespaces.
pub(crate) struct PolicyReconciler {
    policies: Policies,
    index: Arc<Index>,
}

/// A namespace in which Worlds run, or may come to.
pub(crate) struct ActiveNamespace;

impl Reconcile for PolicyReconciler {
    type Kind = NetworkPolicy;
    type Key = Arc<str>;
    type Gathered = ActiveNamespace;
    type Snapshot = ActiveNamespace;
    type Plan = ActiveNamespace;

    async fn gather(&self, key: &Arc<str>, _now: Timestamp) -> Result<Option<ActiveNamespace>, ReconcileError> {
        // Where nothing runs, the next order sees to it.
        Ok(self.index.is_active(key).then_some(ActiveNamespace))
    }

    fn validate(&self, gathered: ActiveNamespace) -> Result<ActiveNamespace, ReconcileError> {
        Ok(gathered)
    }

    fn plan(&self, _key: &Arc<str>, _snapshot: &ActiveNamespace) -> ActiveNamespace {
        ActiveNamespace
    }

    async fn apply(
        &self,
        key: &Arc<str>,
        _snapshot: &ActiveNamespace,
        _plan: &ActiveNamespace,
    ) -> Result<(), ReconcileError> {
        self.policies.ensure(key).await
    }

    async fn publish(
        &self,
        _key: &Arc<str>,
        _snapshot: &ActiveNamespace,
        _plan: &ActiveNamespace,
    ) -> Result<(), ReconcileError> {
        Ok(())
    }

    fn next_check(_plan: &ActiveNamespace) -> Option<Timestamp> {
        None
    }

    fn span(key: &Arc<str>) -> tracing::Span {
        tracing::info_span!("reconcile", namespace = %key)
    }
}
