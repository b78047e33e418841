//! The steps of a look at an order. The planner decides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::WorkOrder;
use manyworlds_api::conditions::Reason;
use manyworlds_api::object::OrderUid;
use manyworlds_planner::policy::allowance::Allowance;
use manyworlds_planner::policy::refusal::Refusal;
use manyworlds_planner::{Grant, Plan, Settings as PlannerSettings, Snapshot, Texts, ValidSnapshot, decide};
use manyworlds_telemetry::Metrics;

use super::apply::Applier;
use super::publish::Publisher;
use crate::cluster::Writes;
use crate::errors::ReconcileError;
use crate::index::{Index, OrderKey, Touched};
use crate::models::Models;
use crate::network_policy::policies::Policies;
use crate::reconcile::backoff::backoff;
use crate::reconcile::queue::WorkQueue;
use crate::reconcile::steps::Reconcile;
use crate::settings::Settings;

/// The interval at which an order that waits for room shows its place anew.
const PLACE_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// The writes a second that only show progress: 300 changes of stage a minute.
const PROGRESS_WRITES_PER_SECOND: u32 = 5;
/// The writes at once that only show progress: four orders of five Worlds.
const PROGRESS_WRITES_AT_ONCE: u32 = 20;

/// Looks at orders.
pub(crate) struct OrderReconciler {
    index: Arc<Index>,
    queue: WorkQueue<OrderKey>,
    settings: Arc<PlannerSettings>,
    progress: Mutex<Allowance>,
    models: Option<Models>,
    applier: Applier,
    publisher: Publisher,
}

/// The decision about an order.
pub(crate) struct OrderPlan {
    plan: Plan,
    grant: Grant,
    /// The order for which slots are reserved until the plan is carried out.
    uid: OrderUid,
    next_check: Option<Timestamp>,
}

impl OrderReconciler {
    pub(crate) fn new(
        writes: Writes,
        metrics: &Metrics,
        index: Arc<Index>,
        settings: &Settings,
        queue: WorkQueue<OrderKey>,
        models: Option<Models>,
        policies: Option<Policies>,
    ) -> Self {
        let mut planner = PlannerSettings::new(settings.runner_image.clone(), settings.service_url.clone());
        planner.start_timeout = settings.start_timeout;
        planner.gateway_url = settings.gateway.as_ref().map(|gateway| gateway.url.clone());
        planner.pod_template = settings.pod_template.clone();
        Self {
            queue,
            settings: Arc::new(planner),
            progress: Mutex::new(Allowance::new(PROGRESS_WRITES_PER_SECOND, PROGRESS_WRITES_AT_ONCE)),
            applier: Applier::new(index.clone(), writes.clone(), metrics.clone(), policies),
            publisher: Publisher { index: index.clone(), writes, metrics: metrics.clone(), models: models.clone() },
            index,
            models,
        }
    }

    /// Carries out the effects. An order whose texts the index has left is read first where a pod of it is made.
    async fn carry_out(
        &self,
        key: &OrderKey,
        snapshot: &ValidSnapshot,
        plan: &OrderPlan,
    ) -> Result<(), ReconcileError> {
        if snapshot.texts == Texts::Kept || !plan.plan.makes_pods() {
            return self.applier.apply(key, snapshot, &plan.plan.effects).await;
        }
        let whole = snapshot.with_whole_order(self.applier.whole_order(&snapshot.order).await?);
        let effects = decide(&whole).plan(plan.grant).effects;
        self.applier.apply(key, &whole, &effects).await
    }

    fn wake_others(&self, key: &OrderKey, touched: Touched) {
        for other in touched.into_iter().filter(|other| other != key) {
            self.queue.add(other);
        }
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what bounds the next tries of an order, where a person should know of the error. It is tried again when its
/// object is looked at again.
fn refusal(error: &ReconcileError, before: Option<&Refusal>) -> Option<Refusal> {
    let (reason, message) = error.to_show()?;
    let in_a_row = before.map_or(0, Refusal::in_a_row).saturating_add(1);
    let retry = Timestamp::now().checked_add(backoff(error.class(), in_a_row)).unwrap_or(Timestamp::MAX);
    Some(Refusal::new(reason, message, in_a_row, retry))
}

impl Reconcile for OrderReconciler {
    type Kind = WorkOrder;
    type Key = OrderKey;
    type Gathered = Snapshot;
    type Snapshot = ValidSnapshot;
    type Plan = OrderPlan;

    async fn gather(&self, key: &OrderKey, now: Timestamp) -> Result<Option<Snapshot>, ReconcileError> {
        let Some(mut snapshot) = self.index.snapshot(key, now, &self.settings) else { return Ok(None) };
        // What a finished order has used is in its status.
        if let Some(models) = &self.models
            && !snapshot.order.is_finished()
        {
            snapshot.models = models.of_order(&snapshot.order, now).await?;
        }
        // One for each World and one for the order is the most that one look can use.
        let most = u32::try_from(snapshot.worlds.len()).unwrap_or(u32::MAX).saturating_add(1);
        snapshot.progress_writes = self.allowance().take(most, now);
        Ok(Some(snapshot))
    }

    fn validate(&self, gathered: Snapshot) -> Result<ValidSnapshot, ReconcileError> {
        Ok(gathered.validate())
    }

    fn plan(&self, key: &OrderKey, snapshot: &ValidSnapshot) -> OrderPlan {
        let decision = decide(snapshot);
        let request = decision.request(|least, placement| self.index.share(least, placement));
        let (grant, touched) = self.index.reserve(&request);
        self.wake_others(key, touched);
        let plan = decision.plan(grant);
        self.allowance().give_back(snapshot.progress_writes.saturating_sub(plan.progress_writes));
        let place_check = grant.place.and_then(|_| snapshot.now.checked_add(PLACE_INTERVAL).ok());
        let next_check = plan.next_check.into_iter().chain(place_check).min();
        OrderPlan { plan, grant, uid: request.uid, next_check }
    }

    async fn apply(&self, key: &OrderKey, snapshot: &ValidSnapshot, plan: &OrderPlan) -> Result<(), ReconcileError> {
        let applied = self.carry_out(key, snapshot, plan).await;
        match &applied {
            Ok(()) => {
                self.index.confirm(&plan.uid);
                if plan.plan.makes_pods() {
                    self.index.succeeded(key, snapshot.order.spec.worlds.variants.len());
                }
            }
            Err(error) => {
                let refusal = refusal(error, snapshot.refusal.as_ref());
                self.wake_others(key, self.index.gave_up(key, &plan.uid, refusal));
            }
        }
        applied
    }

    async fn publish(&self, key: &OrderKey, snapshot: &ValidSnapshot, plan: &OrderPlan) -> Result<(), ReconcileError> {
        self.publisher.publish(key, snapshot, &plan.plan).await
    }

    fn next_check(plan: &OrderPlan) -> Option<Timestamp> {
        plan.next_check
    }

    async fn show_failure(&self, key: &OrderKey, reason: Reason, message: &str) {
        self.publisher.show(key, reason, message).await;
    }

    fn span(key: &OrderKey) -> tracing::Span {
        tracing::info_span!("reconcile", namespace = %key.namespace, work_order = %key.name)
    }
}
