//! The bodies of refused requests: they are read on, so that a client which still writes gets to read why it is refused.
//!
//! Nothing of them is kept, but to read them takes time that others need. So few are read at once, and each of them in part.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use manyworlds_listener::{PeerConnection, Peers};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most that is read of a refused request, in bytes.
const MOST: usize = 128 * 1024 * 1024;
/// The time for which a refused request is read.
const TIME: Duration = Duration::from_secs(5);
/// The bytes that are read of each: the requests of a World's agents have no more, which are all refused at once where it is stopped.
const WITHOUT_A_PLACE: usize = 1024 * 1024;
/// The most refused requests of which more is read at once. Further ones are closed: their clients see a broken connection.
const AT_ONCE: usize = 64;
/// The most of one address: it keeps no place from seven others.
const AT_ONCE_OF_A_PEER: usize = 8;

/// Reads the rest of refused requests. Clones share the places.
#[derive(Clone)]
pub(crate) struct RefusedBodies {
    places: Arc<Semaphore>,
    peers: Peers,
}

impl Default for RefusedBodies {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), peers: Peers::default() }
    }
}

impl RefusedBodies {
    /// Reads and drops the rest of a body: all of a small one, and of a large one where there is a place for it.
    pub(crate) async fn read(&self, peer: IpAddr, body: &mut Incoming) {
        let all = async {
            let (mut read, mut place) = (0_usize, None);
            while let Some(Ok(frame)) = body.frame().await {
                read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
                if read > WITHOUT_A_PLACE && place.is_none() {
                    place = self.place(peer);
                }
                if read > MOST || (read > WITHOUT_A_PLACE && place.is_none()) {
                    return;
                }
            }
        };
        // A client that is too slow has had its time.
        let _ = tokio::time::timeout(TIME, all).await;
    }

    /// Returns a place that is taken until it is dropped; nothing where there is none.
    fn place(&self, peer: IpAddr) -> Option<(PeerConnection, OwnedSemaphorePermit)> {
        let of_peer = self.peers.connect(peer, AT_ONCE_OF_A_PEER)?;
        let of_all = self.places.clone().try_acquire_owned().ok()?;
        Some((of_peer, of_all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_takes_few_places_and_all_together_no_more_than_there_are() {
        let (refused, peer) = (RefusedBodies::default(), |number| IpAddr::from([10, 0, 0, number]));
        let mut held: Vec<_> = (0..AT_ONCE_OF_A_PEER).map(|_| refused.place(peer(1)).unwrap()).collect();
        assert!(refused.place(peer(1)).is_none());
        for number in 2..u8::MAX {
            held.extend((0..AT_ONCE_OF_A_PEER).filter_map(|_| refused.place(peer(number))));
        }
        assert_eq!(held.len(), AT_ONCE);
        drop(held);
        assert!(refused.place(peer(1)).is_some());
    }
}
