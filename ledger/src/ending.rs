//! The end of a ledger that may write no more. Whoever has opened it learns of it, and ends the process.

use std::future::Future;

use tokio::sync::watch;

use crate::error::LedgerError;

/// Tells that the ledger has ended before it was closed, and why. Clones tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Ending(watch::Sender<Option<LedgerError>>);

impl Ending {
    /// Returns an end that has not come, and what learns of it.
    pub(crate) fn channel() -> (Self, watch::Receiver<Option<LedgerError>>) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), receiver)
    }

    /// Tells of the end. The first reason stays.
    pub(crate) fn tell(&self, why: &LedgerError) {
        self.0.send_if_modified(|told| {
            let is_first = told.is_none();
            if is_first {
                *told = Some(why.clone());
            }
            is_first
        });
    }

    /// Starts a task without which the ledger cannot go on.
    ///
    /// - **Guarantees:** a panic in it is the end of the ledger: what the task had in memory may be changed by half
    ///   (docs/decisions/0011).
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let (ending, task) = (self.clone(), tokio::spawn(task));
        tokio::spawn(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                ending.tell(&LedgerError::Faulted);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_ledger_and_a_task_that_is_done_does_not() {
        for panics in [false, true] {
            let (ending, mut told) = Ending::channel();
            ending.spawn(async move { assert!(!panics, "it has a fault") });
            drop(ending);
            let end = told.wait_for(Option::is_some).await.map(|why| why.clone());
            let faulted = matches!(end, Ok(Some(LedgerError::Faulted)));
            assert_eq!(faulted, panics, "{end:?}");
        }
    }

    #[test]
    fn the_first_reason_stays() {
        let (ending, told) = Ending::channel();
        ending.tell(&LedgerError::Superseded(1));
        ending.tell(&LedgerError::Faulted);
        assert!(matches!(*told.borrow(), Some(LedgerError::Superseded(1))));
    }
}
