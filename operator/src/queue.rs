//! Which orders are looked at, and when: each at most once at a time, many at once, again after a while.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::index::OrderKey;
use crate::work_order::Reconciler;
use crate::{Stop, stopped};

/// How often waiting orders are looked at though nothing happened: a lost wake-up costs no more than this.
const LONGEST_REST: Duration = Duration::from_mins(10);

/// Wakes orders up.
#[derive(Clone, Debug)]
pub(crate) struct Wakes(mpsc::UnboundedSender<ScheduleRequest<OrderKey>>);

/// The orders that were woken.
pub(crate) type Woken = mpsc::UnboundedReceiver<ScheduleRequest<OrderKey>>;

/// Returns both ends of a queue.
///
/// It is unbounded because the scheduler behind it keeps at most one entry for each order.
pub(crate) fn wakes() -> (Wakes, Woken) {
    let (sender, receiver) = mpsc::unbounded();
    (Wakes(sender), receiver)
}

impl Wakes {
    /// Has an order looked at as soon as possible.
    pub(crate) fn now(&self, key: OrderKey) {
        self.at(key, Instant::now());
    }

    /// Has an order looked at later; an earlier wish stands.
    pub(crate) fn after(&self, key: OrderKey, delay: Duration) {
        self.at(key, Instant::now() + delay.min(LONGEST_REST));
    }

    fn at(&self, message: OrderKey, run_at: Instant) {
        // An error means that the controller has ended, and with it the process.
        let _ = self.0.unbounded_send(ScheduleRequest { message, run_at });
    }
}

/// Looks at the orders that are woken, once the caches are warm, until the operator ends.
///
/// - **Guarantees:** never two at a time for one order; what is under way is finished before this returns.
pub(crate) async fn run(
    reconciler: Arc<Reconciler>,
    woken: Woken,
    synced: impl Future<Output = ()>,
    stop: watch::Receiver<Stop>,
) {
    let mut stop = pin!(stopped(stop));
    tokio::select! {
        () = synced => tracing::info!("the caches are warm"),
        () = &mut stop => return,
    }
    let mut scheduled = pin!(scheduler(woken));
    let mut running: HashSet<OrderKey> = HashSet::new();
    let mut tasks: JoinSet<OrderKey> = JoinSet::new();
    loop {
        let full = tasks.len() >= reconciler.concurrency();
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = tasks.join_next() => {
                if let Ok(key) = ended {
                    running.remove(&key);
                }
            }
            next = next_free(scheduled.as_mut(), &running), if !full => {
                let Some(key) = next else { break };
                running.insert(key.clone());
                let reconciler = reconciler.clone();
                tasks.spawn(async move {
                    reconciler.reconcile(&key).await;
                    key
                });
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn next_free<S>(
    scheduled: std::pin::Pin<&mut kube::runtime::scheduler::Scheduler<OrderKey, S>>,
    running: &HashSet<OrderKey>,
) -> Option<OrderKey>
where
    S: futures::Stream<Item = ScheduleRequest<OrderKey>>,
{
    scheduled.hold_unless(|key| !running.contains(key)).next().await
}
