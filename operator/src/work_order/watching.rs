//! The watches that an order is looked at for.

use std::sync::Arc;

use kube::runtime::watcher::Config;
use manyworlds_api::labels;

use super::observers::{Nodes, Noted, Orders, Pods, Worlds};
use crate::cluster::{Cluster, Writes};
use crate::index::{Index, OrderKey};
use crate::reconcile::queue::WorkQueue;
use crate::watch::watches::Watches;

/// The objects that are listed at once. An order has a quarter of a mebibyte at most, and as much again in what
/// `kubectl apply` keeps of it; a page is in memory whole.
const PAGE: u32 = 50;

/// Starts to watch orders, and the Worlds, pods and nodes that they are decided by.
pub(crate) fn start(
    cluster: Cluster,
    writes: Option<Writes>,
    index: Arc<Index>,
    queue: WorkQueue<OrderKey>,
) -> Watches {
    let labels = format!("{}={},{}", labels::MANAGED_BY, labels::MANAGER, labels::WORK_ORDER);
    let paged = || Config::default().page_size(PAGE);
    let labelled = || paged().labels(&labels);
    let noted = Noted { index, queue };
    let mut watches = Watches::new(cluster, writes);
    watches.start_cluster_wide(Nodes(noted.clone()));
    watches.start(labelled(), Pods(noted.clone()));
    watches.start(labelled(), Worlds(noted.clone()));
    watches.start(paged(), Orders(noted));
    watches
}
