//! The connections of each peer, or whatever else a peer has a bounded number of.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the connections of each peer. Clones share the counts.
///
/// - **Guarantees:** no larger than the number of connections.
#[derive(Clone, Debug, Default)]
pub struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection of a peer. It is counted until this is dropped.
#[derive(Debug)]
pub struct PeerConnection {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// Counts a connection.
    ///
    /// - **Shape:** `None` where the peer has `most` connections already.
    pub fn connect(&self, address: IpAddr, most: usize) -> Option<PeerConnection> {
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(PeerConnection { peers: self.clone(), address })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        let mut counts = self.peers.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_has_so_many_connections_and_takes_none_from_another() {
        let (peers, one, other) = (Peers::default(), IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let held: Vec<_> = (0..3).map(|_| peers.connect(one, 3).unwrap()).collect();
        assert!(peers.connect(one, 3).is_none());
        assert!(peers.connect(other, 3).is_some());
        drop(held);
        assert!(peers.counts().is_empty(), "nothing is kept of peers that have gone");
    }
}
