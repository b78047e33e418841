//! The end of the process: every part is asked to end, and waited for until a deadline.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Asks the parts of the process to end, and knows which of them still run. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
    request: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Returns the token that is cancelled when the process is to end.
    pub(crate) fn token(&self) -> CancellationToken {
        self.request.clone()
    }

    /// Starts a task that ends by itself once the token is cancelled.
    ///
    /// - **Guarantees:** the process waits for it. A task that ends earlier, or panics, ends the process: no role goes on with
    ///   a part of it missing.
    pub(crate) fn spawn(&self, part: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let request = self.request.clone();
        self.tasks.spawn(async move {
            // Dropped by a panic too.
            let ends_the_process = request.clone().drop_guard();
            task.await;
            if !request.is_cancelled() {
                tracing::error!(
                    part,
                    "a part of the operator has ended by itself; the process ends, so that it is started anew"
                );
            }
            drop(ends_the_process);
        });
    }

    /// Starts a task that is cut off when the process is to end.
    pub(crate) fn spawn_until_end(&self, part: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let request = self.request.clone();
        self.spawn(part, async move {
            request.run_until_cancelled_owned(task).await;
        });
    }

    /// Returns a token that a thread holds for as long as the process is to wait for it.
    pub(crate) fn hold(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// Asks every part to end, and waits until all have ended or the deadline has passed.
    pub(crate) async fn finish(self, deadline: Duration) {
        self.request.cancel();
        self.tasks.close();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!(parts = self.tasks.len(), ?deadline, "not every part has ended in time; they are cut off");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn the_process_waits_for_what_ends_in_time() {
        let (shutdown, (sender, receiver)) = (Shutdown::default(), std::sync::mpsc::channel());
        let token = shutdown.token();
        shutdown.spawn("orderly", async move {
            token.cancelled().await;
            tokio::task::yield_now().await;
            sender.send("ended").unwrap();
        });
        shutdown.spawn_until_end("endless", pending());
        shutdown.finish(Duration::from_mins(1)).await;
        assert_eq!(receiver.try_recv(), Ok("ended"));
    }

    #[tokio::test]
    async fn nothing_is_waited_for_beyond_the_deadline() {
        let shutdown = Shutdown::default();
        shutdown.spawn("stuck", pending());
        let finished = shutdown.finish(Duration::from_millis(1));
        tokio::time::timeout(Duration::from_mins(1), finished).await.unwrap();
    }

    #[tokio::test]
    async fn a_part_that_ends_or_panics_ends_the_process() {
        for task in [false, true] {
            let shutdown = Shutdown::default();
            shutdown.spawn("short", async move { assert!(!task, "it panics") });
            tokio::time::timeout(Duration::from_mins(1), shutdown.token().cancelled()).await.unwrap();
        }
    }
}
