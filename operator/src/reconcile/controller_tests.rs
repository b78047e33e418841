//! A toy kind: each look is told to the test, and ends as the test says.

use std::future::{pending, ready};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use manyworlds_telemetry::{ErrorClass, Metrics};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::controller::Controller;
use super::queue::{LONGEST_REST, WorkQueue, work_queue};
use super::steps::Reconcile;
use crate::errors::ReconcileError;

/// The longest that a test waits for a look.
const PATIENCE: Duration = Duration::from_secs(30);

/// A look that has begun. It ends when it is answered.
struct Look {
    key: &'static str,
    at: Instant,
    answer: oneshot::Sender<Result<Next, ReconcileError>>,
}

/// When the plan of a look wants the next one.
#[derive(Clone, Copy)]
struct Next(Option<Timestamp>);

const SOME_TIME: Next = Next(None);
/// The plan of such a look panics.
const FAULT: Next = Next(Some(Timestamp::MIN));

impl Look {
    fn ends(self, ended: Result<Next, ReconcileError>) {
        assert!(self.answer.send(ended).is_ok(), "the look at {} has ended already", self.key);
    }
}

/// The toy. It gathers nothing for a key that is gone.
struct Toy {
    looks: mpsc::UnboundedSender<Look>,
    gone: Option<&'static str>,
}

impl Reconcile for Toy {
    type Kind = Pod;
    type Key = &'static str;
    type Gathered = Next;
    type Snapshot = Next;
    type Plan = Next;

    async fn gather(&self, key: &Self::Key, _: Timestamp) -> Result<Option<Next>, ReconcileError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.looks.send(Look { key, at: Instant::now(), answer });
        // A look that is dropped belongs to a test that has ended.
        let Ok(ended) = answered.await else { return pending().await };
        ended.map(|next| (self.gone != Some(*key)).then_some(next))
    }

    fn validate(&self, gathered: Next) -> Result<Next, ReconcileError> {
        Ok(gathered)
    }

    fn plan(&self, _: &Self::Key, next: &Next) -> Next {
        assert!(next.0 != FAULT.0, "it has a fault");
        *next
    }

    async fn publish(&self, _: &Self::Key, _: &Next, _: &Next) -> Result<(), ReconcileError> {
        Ok(())
    }

    fn next_check(next: &Next) -> Option<Timestamp> {
        next.0
    }

    fn span(_: &Self::Key) -> tracing::Span {
        tracing::Span::none()
    }
}

/// A running loop, and the looks that it makes.
struct Loop {
    queue: WorkQueue<&'static str>,
    looks: mpsc::UnboundedReceiver<Look>,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Loop {
    /// Starts a loop with some keys in its queue.
    fn start(keys: &[(&'static str, Duration)], concurrency: usize, longest_rest: Duration) -> Self {
        Self::start_without(None, keys, concurrency, longest_rest)
    }

    fn start_without(
        gone: Option<&'static str>,
        keys: &[(&'static str, Duration)],
        concurrency: usize,
        longest_rest: Duration,
    ) -> Self {
        let metrics = Metrics::new("0").unwrap();
        let (sender, looks) = mpsc::unbounded_channel();
        let (queue, scheduled) = work_queue();
        let toy = Toy { looks: sender, gone };
        for (key, delay) in keys {
            queue.add_after(*key, *delay);
        }
        let controller = Controller::new(toy, (queue.clone(), scheduled), &metrics, concurrency);
        let (stop, stopped) = oneshot::channel();
        let run = controller.with_longest_rest(longest_rest).run(ready(()), async { drop(stopped.await) });
        Self { queue, looks, metrics, stop, task: tokio::spawn(run) }
    }

    async fn next(&mut self) -> Look {
        tokio::time::timeout(PATIENCE, self.looks.recv()).await.unwrap().unwrap()
    }

    /// Stops the loop, and asserts that it has made no more looks.
    async fn end(mut self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        assert!(self.looks.recv().await.is_none(), "one look more");
    }
}

fn refused(code: u16) -> ReconcileError {
    let status = kube::core::Status { code, ..kube::core::Status::default() };
    ReconcileError::Api { action: "patch a toy".to_owned(), source: kube::Error::Api(Box::new(status)) }
}

const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn a_look_that_fails_is_repeated_after_a_wait_that_doubles_and_begins_by_the_class_of_its_error() {
    let mut toys = Loop::start(&[("a", NOW)], 1, LONGEST_REST);
    let milliseconds = Duration::from_millis;
    let first = toys.next().await;
    let began = first.at;
    first.ends(Err(refused(409)));
    let second = toys.next().await;
    assert!(second.at - began >= milliseconds(50), "somebody else was faster");
    let began = second.at;
    second.ends(Err(refused(409)));
    let third = toys.next().await;
    assert!(third.at - began >= milliseconds(100));
    // A look that got to its end makes the next failure the first one again.
    third.ends(Ok(Next(Some(Timestamp::now()))));
    let fourth = toys.next().await;
    let began = fourth.at;
    fourth.ends(Err(refused(503)));
    let fifth = toys.next().await;
    assert!((milliseconds(1000)..milliseconds(4000)).contains(&(fifth.at - began)), "the API server was away");
    fifth.ends(Ok(SOME_TIME));
    let errors = |class: ErrorClass| toys.metrics.reconcile_errors.with_label_values(&["pod", class.as_str()]).get();
    assert_eq!((errors(ErrorClass::Conflict), errors(ErrorClass::Transient)), (2, 1));
    toys.end().await;
}

#[tokio::test]
async fn a_look_that_panics_ends_no_other_and_is_repeated() {
    let mut toys = Loop::start(&[("a", NOW)], 2, LONGEST_REST);
    toys.next().await.ends(Ok(FAULT));
    toys.queue.add("b");
    let other = toys.next().await;
    assert_eq!(other.key, "b");
    other.ends(Ok(SOME_TIME));
    let again = toys.next().await;
    assert_eq!(again.key, "a");
    let errors = toys.metrics.reconcile_errors.with_label_values(&["pod", ErrorClass::Bug.as_str()]).get();
    let running = toys.metrics.reconciles_running.with_label_values(&["pod"]).get();
    assert_eq!((errors, running), (1, 1), "one failure, and this look alone runs");
    again.ends(Ok(SOME_TIME));
    toys.end().await;
}

#[tokio::test]
async fn a_wake_up_that_was_lost_costs_no_more_than_the_longest_rest() {
    let rest = Duration::from_millis(20);
    let mut toys = Loop::start(&[("a", NOW), ("b", NOW)], 2, rest);
    for _ in 0..3 {
        // Nobody puts anything into the queue, and the looks know no time of their own, or one that is far away.
        let (first, second) = (toys.next().await, toys.next().await);
        assert_ne!(first.key, second.key);
        first.ends(Ok(SOME_TIME));
        second.ends(Ok(Next(Some(Timestamp::MAX))));
    }
}

#[tokio::test]
async fn a_look_is_repeated_when_its_plan_says_so() {
    let mut toys = Loop::start(&[("a", NOW)], 1, LONGEST_REST);
    let wait = Duration::from_millis(30);
    let look = toys.next().await;
    let at = look.at;
    look.ends(Ok(Next(Some(Timestamp::now() + wait))));
    let look = toys.next().await;
    assert!(look.at - at >= wait);
    look.ends(Ok(SOME_TIME));
    toys.end().await;
}

#[tokio::test]
async fn several_changes_during_a_look_make_one_more_look() {
    let mut toys = Loop::start(&[("a", NOW)], 4, LONGEST_REST);
    let look = toys.next().await;
    toys.queue.add("a");
    toys.queue.add("a");
    // The loop has seen both once it looks at another object that was added later.
    toys.queue.add("b");
    let other = toys.next().await;
    assert_eq!(other.key, "b", "two looks at a at a time");
    other.ends(Ok(SOME_TIME));
    look.ends(Ok(SOME_TIME));
    let again = toys.next().await;
    assert_eq!(again.key, "a");
    again.ends(Ok(SOME_TIME));
    // A third look would have been due before this one.
    toys.queue.add("c");
    assert_eq!(toys.next().await.key, "c");
}

#[tokio::test]
async fn the_object_with_the_earliest_time_is_looked_at_first_and_a_change_that_is_urgent_moves_it_forward() {
    let far = |minutes| Duration::from_mins(minutes);
    let mut toys = Loop::start(&[("routine", far(5)), ("first", NOW), ("late", far(9))], 1, LONGEST_REST);
    let first = toys.next().await;
    assert_eq!(first.key, "first");
    // The one place is taken. Meanwhile the last of all becomes urgent; a later wish changes nothing of it.
    toys.queue.add("late");
    toys.queue.add_after("late", far(8));
    first.ends(Ok(SOME_TIME));
    let second = toys.next().await;
    assert_eq!(second.key, "late");
    toys.queue.add_after("after", Duration::from_millis(2));
    toys.queue.add("before");
    second.ends(Ok(SOME_TIME));
    for key in ["before", "after"] {
        let look = toys.next().await;
        assert_eq!(look.key, key);
        look.ends(Ok(SOME_TIME));
    }
    toys.end().await;
}

#[tokio::test]
async fn an_object_that_is_gone_is_left_alone() {
    let mut toys = Loop::start_without(Some("gone"), &[("gone", NOW)], 1, Duration::from_millis(1));
    toys.next().await.ends(Ok(SOME_TIME));
    toys.queue.add("here");
    for _ in 0..5 {
        let look = toys.next().await;
        assert_eq!(look.key, "here");
        look.ends(Ok(SOME_TIME));
    }
}

#[tokio::test]
async fn a_look_that_is_under_way_is_finished_before_the_loop_ends() {
    let mut toys = Loop::start(&[("a", NOW)], 1, LONGEST_REST);
    let look = toys.next().await;
    let Loop { stop, task, metrics, .. } = toys;
    stop.send(()).unwrap();
    assert_eq!(metrics.reconciles_running.with_label_values(&["pod"]).get(), 1);
    assert!(!task.is_finished());
    look.ends(Ok(SOME_TIME));
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    assert_eq!(metrics.reconciles.with_label_values(&["pod"]).get(), 1);
}
