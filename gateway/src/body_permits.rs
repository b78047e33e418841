//! Permits for the bodies of requests and answers that are in memory at once: one World must not take the whole operator down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The largest request, in bytes: pictures come in it.
pub const LARGEST_REQUEST: usize = 32 * 1024 * 1024;
/// The number of times that the body of a request may be in memory: as it came, masked, and as it goes out.
const COPIES: usize = 3;
/// The most that all bodies may take, in bytes.
const MOST: usize = 240 * 1024 * 1024;
/// The most that the bodies of one World may take, in bytes: one request of the largest size.
const MOST_OF_A_WORLD: usize = COPIES * LARGEST_REQUEST;

/// Counts the bytes that the permits stand for.
#[derive(Debug, Default)]
pub(crate) struct BodyPermits(Mutex<PermittedBytes>);

#[derive(Debug, Default)]
struct PermittedBytes {
    all: usize,
    by_world: HashMap<String, usize>,
}

/// The bodies that are in memory leave no room for more bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bodies of requests and answers that are under way leave no room")]
pub(crate) struct OverBudget;

/// The permit of one body. Its bytes are free again when it is dropped.
#[derive(Debug)]
pub(crate) struct BodyPermit {
    permits: Arc<BodyPermits>,
    world: String,
    bytes: usize,
}

impl BodyPermits {
    /// Returns the permit of a body of which nothing has come yet.
    pub(crate) fn permit(self: &Arc<Self>, world: &str) -> BodyPermit {
        BodyPermit { permits: self.clone(), world: world.to_owned(), bytes: 0 }
    }

    fn permitted(&self) -> MutexGuard<'_, PermittedBytes> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BodyPermit {
    /// Permits so many more bytes of the body of a request.
    ///
    /// # Errors
    ///
    /// [`OverBudget`] where other bodies take the room. It is free again when they have gone.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.take(bytes.saturating_mul(COPIES))
    }

    /// Permits that so many bytes of an answer are kept in all. Who keeps it twice has two permits.
    ///
    /// # Errors
    ///
    /// [`OverBudget`], as for a request.
    pub(crate) fn keep(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.take(bytes.saturating_sub(self.bytes))
    }

    fn take(&mut self, more: usize) -> Result<(), OverBudget> {
        let mut permitted = self.permits.permitted();
        let of_world = permitted.by_world.get(&self.world).copied().unwrap_or_default();
        if permitted.all.saturating_add(more) > MOST || of_world.saturating_add(more) > MOST_OF_A_WORLD {
            return Err(OverBudget);
        }
        permitted.all += more;
        match permitted.by_world.get_mut(&self.world) {
            Some(of_world) => *of_world += more,
            None => drop(permitted.by_world.insert(self.world.clone(), more)),
        }
        self.bytes += more;
        Ok(())
    }
}

impl BodyPermit {
    /// Gives back all that was permitted.
    pub(crate) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes == 0 {
            return;
        }
        let mut permitted = self.permits.permitted();
        permitted.all -= bytes;
        if let Some(of_world) = permitted.by_world.get_mut(&self.world) {
            *of_world -= bytes;
            if *of_world == 0 {
                permitted.by_world.remove(&self.world);
            }
        }
    }
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_has_room_for_its_largest_request_and_all_together_for_a_few() {
        let permits = Arc::new(BodyPermits::default());
        let mut one = permits.permit("one");
        assert_eq!((one.grow(LARGEST_REQUEST - 1), one.grow(1), one.grow(1)), (Ok(()), Ok(()), Err(OverBudget)));
        assert_eq!(permits.permit("one").grow(1), Err(OverBudget), "another request of the same World");
        let mut others = [permits.permit("two"), permits.permit("three")];
        assert_eq!(others.each_mut().map(|other| other.grow(LARGEST_REQUEST)), [Ok(()), Err(OverBudget)]);
        drop(one);
        assert_eq!(others[1].grow(LARGEST_REQUEST), Ok(()), "room that was given back");
        drop(others);
        let permitted = permits.permitted();
        assert!(permitted.all == 0 && permitted.by_world.is_empty());
    }
}
