//! The observers of orders, Worlds, pods and nodes. They note what they see in the index, and put the orders that it concerns into the work queue.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use manyworlds_api::conditions::{OrderCondition, Truth, WorldCondition};
use manyworlds_api::object::ObjectId;
use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::observation::Urgency;
use manyworlds_telemetry::ObjectLabel;

use crate::index::{Index, OrderKey, Touched};
use crate::kind::{Kind, UnreadableStatus};
use crate::reconcile::queue::WorkQueue;
use crate::watch::deleted::DeletedObject;
use crate::watch::guarded::Unreadable;
use crate::watch::observer::Observer;
use crate::watch::records::{PodRecord, observed_node};
use crate::watch::trimmed::Trimmed;

/// The rest of an order after a pod has merely come further: less than the length of a stage that is shown.
const ROUTINE: Duration = Duration::from_secs(1);
/// The rest of an order after a World or a pod of it has ended or gone wrong. What happens to several of them at the
/// same moment is then one look at the order and not several.
const COALESCE: Duration = Duration::from_millis(5);

/// The index and the work queue of an observer.
#[derive(Clone)]
pub(super) struct Noted {
    pub(super) index: Arc<Index>,
    pub(super) queue: WorkQueue<OrderKey>,
}

impl Noted {
    fn wake(&self, touched: Touched, delay: Duration) {
        for key in touched {
            self.queue.add_after(key, delay);
        }
    }
}

/// Observes WorkOrders.
pub(super) struct Orders(pub(super) Noted);

impl Observer for Orders {
    type Object = Trimmed<WorkOrder>;

    fn on_applied(&self, Trimmed(order): Trimmed<WorkOrder>) {
        self.0.wake(self.0.index.order_seen(order), Duration::ZERO);
    }

    fn on_deleted(&self, object: &DeletedObject) {
        if let Some(id) = object.id() {
            self.0.wake(self.0.index.order_gone(&id, object.version), Duration::ZERO);
        }
    }

    fn on_unreadable(&self, object: &Unreadable) {
        if let Ok(id) = ObjectId::<WorkOrder>::parse(&object.metadata) {
            self.0.index.order_unreadable(id.uid);
        }
    }
}

/// Observes Worlds.
pub(super) struct Worlds(pub(super) Noted);

impl Observer for Worlds {
    type Object = Trimmed<World>;

    fn on_applied(&self, Trimmed(world): Trimmed<World>) {
        self.0.wake(self.0.index.world_seen(world), COALESCE);
    }

    fn on_deleted(&self, object: &DeletedObject) {
        if let (Some(key), Some(id)) = (order_of(object), object.id()) {
            self.0.wake(self.0.index.world_gone(key, &id, object.version), COALESCE);
        }
    }
}

/// Observes the pods of orders.
pub(super) struct Pods(pub(super) Noted);

impl Observer for Pods {
    type Object = PodRecord;

    fn on_applied(&self, pod: PodRecord) {
        let Some((key, pod)) = pod.into_order_pod() else { return };
        let delay = match pod.urgency() {
            Urgency::Now => COALESCE,
            Urgency::Routine => ROUTINE,
        };
        self.0.wake(self.0.index.pod_seen(&key, pod), delay);
    }

    fn on_deleted(&self, object: &DeletedObject) {
        if let (Some(key), Some(id)) = (order_of(object), object.id()) {
            self.0.wake(self.0.index.pod_gone(&key, &id, object.version), COALESCE);
        }
    }
}

/// Observes nodes.
pub(super) struct Nodes(pub(super) Noted);

impl Observer for Nodes {
    type Object = Node;

    fn on_applied(&self, node: Node) {
        if let Some(node) = observed_node(node) {
            self.0.wake(self.0.index.node_seen(node), Duration::ZERO);
        }
    }

    fn on_deleted(&self, object: &DeletedObject) {
        self.0.wake(self.0.index.node_gone(&object.name), Duration::ZERO);
    }
}

/// Returns the key of the order that the label of a deleted object names.
fn order_of(object: &DeletedObject) -> Option<OrderKey> {
    Some(OrderKey { namespace: object.namespace.clone()?, name: object.work_order.clone()? })
}

impl Kind for WorkOrder {
    const LABEL: ObjectLabel = ObjectLabel::WorkOrder;
    const UNREADABLE: Option<UnreadableStatus> = Some(UnreadableStatus {
        condition: OrderCondition::Stalled.as_str(),
        truth: Truth::True,
        unless: Some(OrderCondition::Finished.as_str()),
        summary: Some("summary"),
    });
}

impl Kind for World {
    const LABEL: ObjectLabel = ObjectLabel::World;
    const UNREADABLE: Option<UnreadableStatus> = Some(UnreadableStatus {
        condition: WorldCondition::Succeeded.as_str(),
        truth: Truth::Unknown,
        unless: Some(WorldCondition::Finished.as_str()),
        summary: None,
    });
}

impl Kind for PodRecord {
    const LABEL: ObjectLabel = ObjectLabel::Pod;
}
