//! One look at one order: gather, let the planner decide, apply, publish.

mod apply;
mod patch;
mod publish;

pub(crate) use patch::{status_patch, to_json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use manyworlds_api::errors::error_chain;
use manyworlds_planner::policy::allowance::Allowance;
use manyworlds_planner::{Settings as PlannerSettings, survey};
use manyworlds_telemetry::{ErrorClass, Metrics};
use tracing::Instrument;

use crate::errors::ReconcileError;
use crate::events::Recorder;
use crate::index::{Index, OrderKey, Outcome};
use crate::models::Models;
use crate::queue::Wakes;
use crate::requests::Writer;
use crate::settings::Settings;

/// The longest wait after failures in a row.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How often an order that waits for room says its place anew.
const PLACE_INTERVAL: Duration = Duration::from_secs(10);

/// How many writes a second may be made only to show how far things are: 300 changes of stage a minute.
const PROGRESS_WRITES_PER_SECOND: u32 = 5;
/// How many of them at once: four orders of five Worlds.
const PROGRESS_WRITES_AT_ONCE: u32 = 20;

/// Looks at orders.
pub(crate) struct Reconciler {
    index: Arc<Index>,
    writer: Writer,
    events: Recorder,
    metrics: Metrics,
    wakes: Wakes,
    settings: Arc<PlannerSettings>,
    network: apply::Network,
    prepared: Mutex<HashSet<Arc<str>>>,
    progress: Mutex<Allowance>,
    models: Option<Models>,
    concurrency: usize,
}

impl Reconciler {
    pub(crate) fn new(
        index: Arc<Index>,
        writer: Writer,
        events: Recorder,
        metrics: Metrics,
        settings: &Settings,
        wakes: Wakes,
        models: Option<Models>,
    ) -> Self {
        let mut planner = PlannerSettings::new(settings.runner_image.clone(), settings.service_url.clone());
        planner.start_timeout = settings.start_timeout;
        planner.gateway_url = settings.gateway.as_ref().map(|gateway| gateway.url.clone());
        let network = apply::Network {
            operator_namespace: settings.namespace.clone(),
            operator_ports: std::iter::once(settings.api_address.port())
                .chain(settings.gateway.as_ref().map(|gateway| gateway.address.port()))
                .collect(),
            repositories: settings.network_policy.clone(),
        };
        Self {
            index,
            writer,
            events,
            metrics,
            wakes,
            settings: Arc::new(planner),
            network,
            prepared: Mutex::default(),
            progress: Mutex::new(Allowance::new(PROGRESS_WRITES_PER_SECOND, PROGRESS_WRITES_AT_ONCE)),
            models,
            concurrency: settings.concurrency,
        }
    }

    /// Returns how many orders are looked at at the same time.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Looks at one order.
    pub(crate) async fn reconcile(&self, key: &OrderKey) {
        let span = tracing::info_span!("reconcile", namespace = %key.namespace, work_order = %key.name);
        let started = Instant::now();
        self.metrics.reconciles_running.inc();
        let outcome = self.look(key).instrument(span.clone()).await;
        self.metrics.reconciles_running.dec();
        self.metrics.reconciles.inc();
        self.metrics.reconcile_seconds.observe(started.elapsed().as_secs_f64());
        match outcome {
            Ok(()) => {
                self.index.outcome(key, Outcome::Done);
            }
            Err(error) => self.failed(key, &error).instrument(span).await,
        }
    }

    async fn look(&self, key: &OrderKey) -> Result<(), ReconcileError> {
        let now = Timestamp::now();
        let Some(mut snapshot) = self.index.snapshot(key, now, &self.settings) else { return Ok(()) };
        if let Some(models) = &self.models {
            snapshot.models = models.of_order(&snapshot.order, now).await?;
        }
        // One for each World and one for the order is the most that one look can use.
        let most = u32::try_from(snapshot.worlds.len()).unwrap_or(u32::MAX).saturating_add(1);
        snapshot.progress_writes = self.allowance().take(most, now);
        let survey = survey(&snapshot);
        let request = survey.request(|least, placement| self.index.share(least, placement));
        let (grant, touched) = self.index.requested(&request);
        for other in touched.into_iter().filter(|other| other != key) {
            self.wakes.now(other);
        }
        let plan = survey.plan(grant);
        self.allowance().give_back(snapshot.progress_writes.saturating_sub(plan.progress_writes));
        let applied = self.apply(key, &snapshot, &plan.effects).await;
        self.index.settled(&request.uid);
        applied?;
        self.publish(key, &snapshot, &plan).await?;
        if let Some(time) = plan.next_check {
            let wait = time.duration_since(now).try_into().unwrap_or(Duration::ZERO);
            self.wakes.after(key.clone(), wait);
        }
        if grant.place.is_some() {
            self.wakes.after(key.clone(), PLACE_INTERVAL);
        }
        Ok(())
    }

    /// Counts a failure, shows it on the order where a person should know, and tries again later.
    async fn failed(&self, key: &OrderKey, error: &ReconcileError) {
        let class = error.class();
        self.metrics.reconcile_errors.with_label_values(&[class.as_str()]).inc();
        let failures = self.index.outcome(key, Outcome::Failed);
        let wait = wait(class, failures);
        match class {
            ErrorClass::Conflict => {
                tracing::debug!(error = %error_chain(error), "somebody else wrote first; looking again");
            }
            ErrorClass::Spec | ErrorClass::Transient | ErrorClass::Permission | ErrorClass::Bug => {
                let error = error_chain(error);
                tracing::warn!(class = class.as_str(), failures, error, "an order cannot be brought forward yet");
            }
        }
        if let Some((reason, message)) = error.to_show() {
            self.show(key, reason, &message).await;
        }
        self.wakes.after(key.clone(), wait);
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a namespace still has to be prepared for Worlds, and notes that it will be.
    fn to_prepare(&self, namespace: &Arc<str>) -> bool {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.clone())
    }

    /// Notes that a namespace could not be prepared.
    fn not_prepared(&self, namespace: &Arc<str>) {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
    }
}

/// Returns how long to wait after failures in a row: longer each time, except where somebody else was merely faster.
fn wait(class: ErrorClass, failures: u32) -> Duration {
    let first = match class {
        ErrorClass::Conflict => Duration::from_millis(50),
        ErrorClass::Transient => Duration::from_secs(1),
        ErrorClass::Permission | ErrorClass::Spec | ErrorClass::Bug => Duration::from_secs(5),
    };
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_failures_and_end_at_a_minute() {
        assert_eq!(wait(ErrorClass::Conflict, 1), Duration::from_millis(50));
        assert_eq!(wait(ErrorClass::Transient, 3), Duration::from_secs(4));
        assert_eq!(wait(ErrorClass::Spec, 30), LONGEST_WAIT);
    }
}
