//! The five steps of a look at an object.

use std::fmt::Debug;
use std::future::{Future, ready};
use std::hash::Hash;

use jiff::Timestamp;
use manyworlds_api::conditions::Reason;

use crate::errors::ReconcileError;
use crate::kind::Kind;

/// The steps of a look at an object of one kind. The loop takes them in the order in which they stand here.
pub(crate) trait Reconcile: Send + Sync + 'static {
    /// The kind.
    type Kind: Kind;
    /// The name of an object in the work queue.
    type Key: Clone + Eq + Hash + Debug + Send + Sync + 'static;
    /// Everything that the decision needs, as it was read. Its objects are [`Stored`], so that each has a uid and a version.
    ///
    /// [`Stored`]: manyworlds_api::object::Stored
    type Gathered: Send;
    /// The same, with what belongs together told from what does not.
    type Snapshot: Send + Sync;
    /// The decision.
    type Plan: Send + Sync;

    /// Reads everything that the decision needs.
    ///
    /// - **Shape:** `None` where there is no such object. It is not looked at again until something is seen of it.
    fn gather(
        &self,
        key: &Self::Key,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Self::Gathered>, ReconcileError>> + Send;

    /// Turns what was read into what the decision may rely on.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`] where that cannot be done. Nothing is decided or written then.
    fn validate(&self, gathered: Self::Gathered) -> Result<Self::Snapshot, ReconcileError>;

    /// Decides. Nothing is read or written over the network.
    fn plan(&self, key: &Self::Key, snapshot: &Self::Snapshot) -> Self::Plan;

    /// Creates, changes and deletes what belongs to the object.
    fn apply(
        &self,
        _key: &Self::Key,
        _snapshot: &Self::Snapshot,
        _plan: &Self::Plan,
    ) -> impl Future<Output = Result<(), ReconcileError>> + Send {
        ready(Ok(()))
    }

    /// Writes the status where it has changed, and the Events.
    fn publish(
        &self,
        key: &Self::Key,
        snapshot: &Self::Snapshot,
        plan: &Self::Plan,
    ) -> impl Future<Output = Result<(), ReconcileError>> + Send;

    /// Returns when the object has to be looked at again though nothing is seen of it.
    ///
    /// - **Shape:** `None` where no time is known. It is then looked at again after some minutes.
    fn next_check(plan: &Self::Plan) -> Option<Timestamp>;

    /// Shows on the object why it cannot be brought forward.
    fn show_failure(&self, _key: &Self::Key, _reason: Reason, _message: &str) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Returns the span that names the object in the lines of the log.
    fn span(key: &Self::Key) -> tracing::Span;
}
