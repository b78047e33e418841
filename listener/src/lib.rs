//! Serves HTTP/1.1 on a socket within bounds: how many connections there are, how many one peer has, how long a head may take
//! and how long a client may leave an answer unread.
//!
//! The gateway and the artifact API are served by it: both are reached by every World. It knows nothing of what it serves.

mod peers;
mod serve;

pub use peers::{PeerConnection, Peers};
pub use serve::{Bounds, Handler, OpenConnections, Peer, serve};
