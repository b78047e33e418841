//! How many bytes of requests are in memory at once: one World must not take the whole operator down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How often a body may be in memory: as it came, masked, and as it goes out.
const COPIES: usize = 3;
/// The most of all of them, in bytes.
const MOST: usize = 240 * 1024 * 1024;
/// The most of those of one World, in bytes: one request of the largest size.
const MOST_OF_A_WORLD: usize = COPIES * crate::server::LARGEST_REQUEST;

/// Counts what is held.
#[derive(Default)]
pub(crate) struct Bodies(Mutex<Held>);

#[derive(Default)]
struct Held {
    all: usize,
    of_worlds: HashMap<String, usize>,
}

/// There is no room now.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bodies of requests that are under way leave no room")]
pub(crate) struct Crowded;

/// The room of one body, which is free again when this is dropped.
pub(crate) struct Room {
    bodies: Arc<Bodies>,
    world: String,
    bytes: usize,
}

impl Bodies {
    /// Returns room for a body of which nothing has come yet.
    pub(crate) fn room(self: &Arc<Self>, world: &str) -> Room {
        Room { bodies: self.clone(), world: world.to_owned(), bytes: 0 }
    }
}

impl Room {
    /// Takes room for so many more bytes of the body.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Crowded> {
        let more = bytes.saturating_mul(COPIES);
        let mut held = self.bodies.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_world = held.of_worlds.get(&self.world).copied();
        if held.all.saturating_add(more) > MOST || of_world.unwrap_or_default().saturating_add(more) > MOST_OF_A_WORLD {
            return Err(Crowded);
        }
        held.all += more;
        match held.of_worlds.get_mut(&self.world) {
            Some(of_world) => *of_world += more,
            None => drop(held.of_worlds.insert(self.world.clone(), more)),
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut held = self.bodies.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= self.bytes;
        if let Some(of_world) = held.of_worlds.get_mut(&self.world) {
            *of_world -= self.bytes;
            if *of_world == 0 {
                held.of_worlds.remove(&self.world);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_has_room_for_its_largest_request_and_all_together_for_a_few() {
        let bodies = Arc::new(Bodies::default());
        let largest = crate::server::LARGEST_REQUEST;
        let mut one = bodies.room("one");
        assert_eq!((one.grow(largest - 1), one.grow(1), one.grow(1)), (Ok(()), Ok(()), Err(Crowded)));
        assert_eq!(bodies.room("one").grow(1), Err(Crowded), "another request of the same World");
        let mut others = [bodies.room("two"), bodies.room("three")];
        assert_eq!(others.each_mut().map(|other| other.grow(largest)), [Ok(()), Err(Crowded)]);
        drop(one);
        assert_eq!(others[1].grow(largest), Ok(()), "room that was given back");
        drop(others);
        let held = bodies.0.lock().unwrap();
        assert!(held.all == 0 && held.of_worlds.is_empty());
    }
}
