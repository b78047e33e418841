//! Waiting for a state, never for a time.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::result::{Error, Result};

/// The longest wait of a test for what takes well under a second on an idle machine: long, because machines of tests are not.
pub const LIMIT: Duration = Duration::from_mins(1);
/// Time between two looks at the state.
const POLL: Duration = Duration::from_millis(10);

/// The result of one look at a state: whether it is there, what was found of it, or why it could not be looked at.
pub trait Look {
    /// The type of what is looked for.
    type Found;

    /// Returns what was found, or nothing while the state is not there yet.
    ///
    /// # Errors
    ///
    /// When it could not be looked at.
    fn found(self) -> Result<Option<Self::Found>>;
}

impl Look for bool {
    type Found = ();

    fn found(self) -> Result<Option<()>> {
        Ok(self.then_some(()))
    }
}

impl<T> Look for Option<T> {
    type Found = T;

    fn found(self) -> Result<Option<T>> {
        Ok(self)
    }
}

impl<T> Look for std::result::Result<Option<T>, Error> {
    type Found = T;

    fn found(self) -> Result<Option<T>> {
        self
    }
}

/// Looks at a state until `condition` finds in it what it looks for, and returns that.
///
/// - **Guarantees:** an error of the condition counts as not yet, because a server may be away in the middle of a test.
///
/// # Errors
///
/// When `limit` is over; the text names `what` and the last error.
pub async fn eventually<L, C, F>(what: &str, limit: Duration, mut condition: C) -> Result<L::Found>
where
    L: Look,
    C: FnMut() -> F,
    F: Future<Output = L>,
{
    let start = Instant::now();
    loop {
        let last = match condition().await.found() {
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
            async move { found }
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn says_what_did_not_happen_and_why() {
        let never =
            eventually("the moon is cheese", Duration::ZERO, || async { Err::<Option<()>, _>("it is rock".into()) });
        let error = never.await.unwrap_err().to_string();
        assert!(error.contains("the moon is cheese") && error.contains("it is rock"), "{error}");
        let never = eventually("the moon is cheese", Duration::ZERO, || async { false });
        assert!(never.await.unwrap_err().to_string().ends_with("the moon is cheese"));
    }
}
