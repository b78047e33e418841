//! The bytes that are kept of an answer: until all of it can be read, or until its client takes them. They have their room from
//! the same measure as the bodies of requests.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::body_permits::{BodyPermit, BodyPermits, OverBudget};

/// The bytes that need no room, in each place that keeps some: most answers and events have no more, so those of one World do not
/// suffer from the large ones of another.
const FREE: usize = 16 * 1024;
/// The largest part of an answer that waits for its client without room of its own: as much as the HTTP library reads at once.
const LARGEST_PART: usize = 512 * 1024;

/// The room for the answers of a World.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerRoom {
    permits: Arc<BodyPermits>,
    world: String,
}

impl AnswerRoom {
    pub(crate) fn new(permits: &Arc<BodyPermits>, world: &str) -> Self {
        Self { permits: permits.clone(), world: world.to_owned() }
    }

    /// Returns a part of an answer that has its room until it is dropped: the client may take its time.
    ///
    /// # Errors
    ///
    /// [`OverBudget`] where other bodies take the room.
    pub(crate) fn hold(&self, part: Bytes) -> Result<Bytes, OverBudget> {
        if part.len() <= LARGEST_PART {
            return Ok(part);
        }
        let mut permit = self.permits.permit(&self.world);
        permit.keep(part.len())?;
        Ok(Bytes::from_owner(HeldPart { part, _permit: permit }))
    }
}

/// A part of an answer, with its room.
struct HeldPart {
    part: Bytes,
    _permit: BodyPermit,
}

impl AsRef<[u8]> for HeldPart {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

/// Bytes that come in parts and are kept.
///
/// - **Shape:** the default has no room to ask for. It stands where bytes were taken out, and in tests.
#[derive(Debug, Default)]
pub(crate) struct KeptBytes {
    bytes: Vec<u8>,
    permit: Option<BodyPermit>,
}

impl KeptBytes {
    /// Returns none yet.
    pub(crate) fn within(room: &AnswerRoom) -> Self {
        Self { bytes: Vec::new(), permit: Some(room.permits.permit(&room.world)) }
    }

    /// Keeps a further part.
    ///
    /// # Errors
    ///
    /// [`OverBudget`] where other bodies take the room. What was kept before stays.
    pub(crate) fn extend(&mut self, part: &[u8]) -> Result<(), OverBudget> {
        let all = self.bytes.len().saturating_add(part.len());
        if let Some(permit) = self.permit.as_mut().filter(|_| all > FREE) {
            permit.keep(all).inspect_err(|error| tracing::warn!("{error}; a large answer is not kept to be read"))?;
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// Returns the bytes, and gives their room back.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        if let Some(permit) = &mut self.permit {
            permit.give_back();
        }
        std::mem::take(&mut self.bytes)
    }

    /// Forgets the bytes, and gives their room back.
    pub(crate) fn clear(&mut self) {
        if self.bytes.capacity() > FREE {
            drop(self.take());
        }
        self.bytes.clear();
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Deref for KeptBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body_permits::LARGEST_REQUEST;

    const MEBIBYTE: usize = 1024 * 1024;

    #[test]
    fn large_answers_share_the_room_of_requests_and_small_ones_need_none() {
        let permits = Arc::new(BodyPermits::default());
        let room = AnswerRoom::new(&permits, "one");
        let mut answers: Vec<_> = (0..4).map(|_| KeptBytes::within(&room)).collect();
        for answer in &mut answers[..3] {
            assert_eq!(answer.extend(&vec![0; LARGEST_REQUEST]), Ok(()));
        }
        assert_eq!(answers[3].extend(&[0; FREE]), Ok(()), "a small one");
        assert_eq!(answers[3].extend(&[0]), Err(OverBudget), "and no byte more");
        assert_eq!(answers[3].len(), FREE, "what was kept stays");
        assert_eq!(permits.permit("one").grow(1), Err(OverBudget), "requests have the same room");
        assert_eq!(KeptBytes::within(&AnswerRoom::new(&permits, "two")).extend(&vec![0; MEBIBYTE]), Ok(()));
        assert_eq!(answers[0].take().len(), LARGEST_REQUEST);
        answers[1].clear();
        assert_eq!(answers[1].capacity(), 0, "no memory stays behind");
        assert_eq!(answers[3].extend(&vec![0; LARGEST_REQUEST]), Ok(()), "room that was given back");
    }

    #[test]
    fn a_large_part_has_its_room_until_its_client_has_taken_it() {
        let permits = Arc::new(BodyPermits::default());
        let room = AnswerRoom::new(&permits, "one");
        let part = Bytes::from(vec![7; 3 * LARGEST_REQUEST]);
        let held = room.hold(part.clone()).unwrap();
        assert_eq!(held, part);
        assert_eq!(room.hold(Bytes::from(vec![0; MEBIBYTE])), Err(OverBudget));
        assert!(room.hold(Bytes::from_static(b"a small one")).is_ok());
        let rest = held.slice(1..);
        drop(held);
        assert!(room.hold(Bytes::from(vec![0; MEBIBYTE])).is_err(), "some of it is still there");
        drop(rest);
        assert!(room.hold(Bytes::from(vec![0; MEBIBYTE])).is_ok());
    }
}
