//! The work queue of a kind: which objects are to be looked at, and when.

use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use kube::runtime::scheduler::{ScheduleRequest, Scheduler, scheduler};
use tokio::time::Instant;

/// The longest time that an object is left alone. A wake-up that was lost costs no more than this.
pub(crate) const LONGEST_REST: Duration = Duration::from_mins(10);

/// The end of a work queue that objects are put into.
#[derive(Debug)]
pub(crate) struct WorkQueue<K>(mpsc::UnboundedSender<ScheduleRequest<K>>);

// A derived one would ask for keys that can be cloned.
impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The end of a work queue that gives the objects out.
pub(crate) struct Scheduled<K>(Pin<Box<Scheduler<K, mpsc::UnboundedReceiver<ScheduleRequest<K>>>>>);

impl<K> fmt::Debug for Scheduled<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Scheduled")
    }
}

/// Returns both ends of a work queue.
///
/// It has no bound of its own: each object is in it once.
pub(crate) fn work_queue<K: Clone + Eq + Hash>() -> (WorkQueue<K>, Scheduled<K>) {
    let (sender, receiver) = mpsc::unbounded();
    (WorkQueue(sender), Scheduled(Box::pin(scheduler(receiver))))
}

impl<K> WorkQueue<K> {
    /// Has an object looked at as soon as possible.
    pub(crate) fn add(&self, key: K) {
        self.add_at(key, Instant::now());
    }

    /// Has an object looked at after a while. Where it is in the queue for an earlier time already, that time stands.
    pub(crate) fn add_after(&self, key: K, delay: Duration) {
        self.add_at(key, Instant::now() + delay.min(LONGEST_REST));
    }

    fn add_at(&self, message: K, run_at: Instant) {
        // An error means that the loop has ended, and with it the process.
        let _ = self.0.unbounded_send(ScheduleRequest { message, run_at });
    }
}

impl<K: Clone + Eq + Hash> Scheduled<K> {
    /// Returns the next object whose time has come and that is free; the one with the earliest time first.
    ///
    /// - **Shape:** `None` when nobody is left who could put anything in.
    pub(crate) async fn next_free(&mut self, is_free: impl Fn(&K) -> bool + Unpin) -> Option<K> {
        self.0.as_mut().hold_unless(is_free).next().await
    }
}
