//! The run loop: each object at most once at a time, many at once, again after a while.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use manyworlds_telemetry::{ErrorClass, Histogram, IntCounter, IntCounterVec, IntGauge, Metrics};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::backoff::backoff;
use super::queue::{LONGEST_REST, Scheduled, WorkQueue};
use super::steps::Reconcile;
use crate::errors::ReconcileError;
use crate::kind::Kind;
use manyworlds_api::errors::error_chain;

/// Looks at the objects of one kind.
pub(crate) struct Controller<R: Reconcile> {
    looker: Arc<Looker<R>>,
    queue: WorkQueue<R::Key>,
    scheduled: Scheduled<R::Key>,
    concurrency: usize,
    longest_rest: Duration,
    /// The failures in a row of the last looks at an object.
    failures: HashMap<R::Key, u32>,
}

/// The end of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// There is no such object.
    Gone,
    /// All steps were taken. The next look is due then, where a time is known.
    Done(Option<Duration>),
    /// A step failed.
    Failed(ErrorClass),
}

impl<R: Reconcile> Controller<R> {
    /// Makes a loop that looks at some objects at the same time.
    pub(crate) fn new(
        reconciler: R,
        (queue, scheduled): (WorkQueue<R::Key>, Scheduled<R::Key>),
        metrics: &Metrics,
        concurrency: usize,
    ) -> Self {
        Self {
            looker: Arc::new(Looker::new(reconciler, metrics)),
            queue,
            scheduled,
            concurrency: concurrency.max(1),
            longest_rest: LONGEST_REST,
            failures: HashMap::new(),
        }
    }

    /// Shortens the time after which an object is looked at again though nothing was seen of it.
    #[cfg(test)]
    pub(super) fn with_longest_rest(self, longest_rest: Duration) -> Self {
        Self { longest_rest, ..self }
    }

    /// Looks at the objects of the work queue once the caches are warm, until the operator stops.
    ///
    /// - **Guarantees:** never two looks at a time at one object; looks that are under way are finished before this returns.
    pub(crate) async fn run(mut self, synced: impl Future<Output = ()>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        tokio::select! {
            () = synced => {}
            () = &mut stop => return,
        }
        let mut running: HashSet<R::Key> = HashSet::new();
        let mut looks: JoinSet<(R::Key, Ended)> = JoinSet::new();
        loop {
            let full = looks.len() >= self.concurrency;
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = looks.join_next() => {
                    // A panic where a failure is shown. Its object would never be looked at again, so the process begins anew.
                    let Ok((key, ended)) = ended else { break };
                    running.remove(&key);
                    self.schedule(key, ended);
                }
                next = self.scheduled.next_free(|key| !running.contains(key)), if !full => {
                    let Some(key) = next else { break };
                    running.insert(key.clone());
                    let (looker, failures) = (self.looker.clone(), self.failures.get(&key).copied().unwrap_or(0));
                    looks.spawn(async move {
                        let ended = looker.look(&key, failures).await;
                        (key, ended)
                    });
                }
            }
        }
        while looks.join_next().await.is_some() {}
    }

    /// Puts an object that was looked at back into the work queue.
    fn schedule(&mut self, key: R::Key, ended: Ended) {
        let wait = match ended {
            Ended::Gone => {
                self.failures.remove(&key);
                return;
            }
            Ended::Done(next) => {
                self.failures.remove(&key);
                next.unwrap_or_else(|| self.rest(&key)).min(self.longest_rest)
            }
            Ended::Failed(class) => {
                let failures = self.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                backoff(class, *failures)
            }
        };
        self.queue.add_after(key, wait);
    }

    /// Returns how long an object is left alone of which no time is known. Objects that were all seen at the same moment, as at
    /// the start, are not all looked at again at the same moment.
    fn rest(&self, key: &R::Key) -> Duration {
        let spread = BuildHasherDefault::<DefaultHasher>::default().hash_one(key) % 256;
        self.longest_rest.saturating_sub(self.longest_rest / 1024 * u32::try_from(spread).unwrap_or(0))
    }
}

/// Takes the steps of looks.
struct Looker<R> {
    reconciler: R,
    running: IntGauge,
    looks: IntCounter,
    seconds: Histogram,
    errors: IntCounterVec,
}

impl<R: Reconcile> Looker<R> {
    fn new(reconciler: R, metrics: &Metrics) -> Self {
        let kind = &[R::Kind::LABEL.as_str()];
        Self {
            reconciler,
            running: metrics.reconciles_running.with_label_values(kind),
            looks: metrics.reconciles.with_label_values(kind),
            seconds: metrics.reconcile_seconds.with_label_values(kind),
            errors: metrics.reconcile_errors.clone(),
        }
    }

    /// Looks at an object, after some failures in a row.
    async fn look(&self, key: &R::Key, failures: u32) -> Ended {
        let started = Instant::now();
        self.running.inc();
        let looked = async {
            // What a panic leaves half done is put right by the next look, as after any other failure.
            let steps = AssertUnwindSafe(self.steps(key)).catch_unwind().await;
            match steps.unwrap_or(Err(ReconcileError::Panicked)) {
                Ok(ended) => ended,
                Err(error) => self.failed(key, &error, failures).await,
            }
        };
        let ended = looked.instrument(R::span(key)).await;
        self.running.dec();
        self.looks.inc();
        self.seconds.observe(started.elapsed().as_secs_f64());
        ended
    }

    async fn steps(&self, key: &R::Key) -> Result<Ended, ReconcileError> {
        let now = Timestamp::now();
        let Some(gathered) = self.reconciler.gather(key, now).await? else { return Ok(Ended::Gone) };
        let snapshot = self.reconciler.validate(gathered)?;
        let plan = self.reconciler.plan(key, &snapshot);
        self.reconciler.apply(key, &snapshot, &plan).await?;
        self.reconciler.publish(key, &snapshot, &plan).await?;
        let wait = |time: Timestamp| Duration::try_from(time.duration_since(now)).unwrap_or(Duration::ZERO);
        Ok(Ended::Done(R::next_check(&plan).map(wait)))
    }

    /// Counts a failure, and shows it on the object where a person should know.
    async fn failed(&self, key: &R::Key, error: &ReconcileError, before: u32) -> Ended {
        let class = error.class();
        match class {
            ErrorClass::Conflict => {
                tracing::debug!(error = %error_chain(error), "somebody else wrote first; looking again");
            }
            ErrorClass::Spec | ErrorClass::Transient | ErrorClass::Permission | ErrorClass::Bug => {
                let (failures, error) = (before.saturating_add(1), error_chain(error));
                tracing::warn!(class = class.as_str(), failures, error, "an object cannot be brought forward yet");
            }
        }
        if let Some((reason, message)) = error.to_show() {
            self.reconciler.show_failure(key, reason, &message).await;
        }
        self.errors.with_label_values(&[R::Kind::LABEL.as_str(), class.as_str()]).inc();
        Ended::Failed(class)
    }
}
