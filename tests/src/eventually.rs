//! Waiting for a state, never for a time.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::Result;

/// How long a test waits for what takes well under a second on an idle machine: long, because machines of tests are not.
pub const LIMIT: Duration = Duration::from_mins(1);
/// Time between two looks at the state.
const POLL: Duration = Duration::from_millis(20);

/// Looks at a state until `condition` finds in it what it looks for, and returns that.
///
/// - **Shape:** the condition returns `Ok(None)` while the state is not there yet; an error counts as not yet, because a
///   server may be away in the middle of a test, and the last one is shown when the time is over.
///
/// # Errors
///
/// When `limit` is over; the text names `what` and the last error.
pub async fn eventually<T, C, F>(what: &str, limit: Duration, mut condition: C) -> Result<T>
where
    C: FnMut() -> F,
    F: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    loop {
        let last = match condition().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if start.elapsed() >= limit {
            let detail = last.map_or_else(String::new, |error| format!("; the last error was: {error}"));
            return Err(format!("after {} s still not: {what}{detail}", limit.as_secs()).into());
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_what_was_found() {
        let mut looks = 0;
        let found = eventually("three looks", LIMIT, || {
            looks += 1;
            let found = (looks == 3).then_some(looks);
            async move { Ok(found) }
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn says_what_did_not_happen_and_why() {
        let never =
            eventually("the moon is cheese", Duration::ZERO, || async { Err::<Option<()>, _>("it is rock".into()) });
        let error = never.await.unwrap_err().to_string();
        assert!(error.contains("the moon is cheese") && error.contains("it is rock"), "{error}");
    }
}
