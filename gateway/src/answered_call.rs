//! A call whose answer is on its way. It is settled at its deadline at the latest, whether or not its client takes the answer: what it
//! has reserved of a budget that others share is theirs again then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::in_flight::{AnswerEnd, CostCertainty, InFlightCall};

/// An answer has taken longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the answer has taken longer than timeouts.total of the Provider allows")]
pub(crate) struct Overdue;

/// A call that is settled at its deadline.
///
/// - **Guarantees:** dropping it settles the call as one that was cut.
pub(crate) struct AnsweredCall {
    in_flight: Held,
    deadline: AbortHandle,
}

/// The call until it is settled.
#[derive(Clone)]
struct Held(Arc<Mutex<Option<InFlightCall>>>);

impl Held {
    fn take(&self) -> Option<InFlightCall> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl AnsweredCall {
    /// Returns a call whose answer has begun and may take so long.
    pub(crate) fn new(in_flight: InFlightCall, most: Duration) -> Self {
        let in_flight = Held(Arc::new(Mutex::new(Some(in_flight))));
        let held = in_flight.clone();
        // The answer itself is asked for its next part only as fast as its client takes it.
        let deadline = tokio::spawn(async move {
            tokio::time::sleep(most).await;
            drop(held.take());
        });
        Self { in_flight, deadline: deadline.abort_handle() }
    }

    /// Reads the next part of the answer.
    ///
    /// # Errors
    ///
    /// [`Overdue`] after the deadline.
    pub(crate) fn feed(&self, part: &[u8]) -> Result<(), Overdue> {
        let mut held = self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_mut().ok_or(Overdue)?.usage.feed(part);
        Ok(())
    }

    /// Settles the call.
    ///
    /// # Errors
    ///
    /// [`Overdue`] after the deadline: it was settled then.
    pub(crate) async fn settle(self, end: AnswerEnd) -> Result<CostCertainty, Overdue> {
        let in_flight = self.in_flight.take().ok_or(Overdue)?;
        Ok(in_flight.settle(end).await)
    }
}

impl Drop for AnsweredCall {
    fn drop(&mut self) {
        self.deadline.abort();
        drop(self.in_flight.take());
    }
}
