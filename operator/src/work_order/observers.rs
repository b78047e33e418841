//! What the watches of orders, Worlds, pods and nodes do: note it in the index, and wake the orders that it concerns.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::core::ObjectMeta;
use manyworlds_api::conditions::{OrderCondition, Truth, WorldCondition};
use manyworlds_api::{WorkOrder, WorkOrderSpec, WorkOrderStatus, World, WorldSpec, WorldStatus};
use manyworlds_planner::observation::Urgency;
use manyworlds_telemetry::ObjectLabel;

use crate::index::{Index, OrderKey, Touched};
use crate::kind::{Kind, UnreadableStatus};
use crate::reconcile::queue::WorkQueue;
use crate::watch::identity::ObjectIdentity;
use crate::watch::observer::Observer;
use crate::watch::records::{PodRecord, observed_node};
use crate::watch::trimmed::{FromParts, Trimmed};

/// How long an order is left alone after a pod has merely come further: less than a stage lasts that is shown.
const ROUTINE: Duration = Duration::from_secs(1);
/// How long an order is left alone after a World or a pod of it has ended or gone wrong. What happens to several of them at the
/// same moment is then one look at the order and not several.
const COALESCE: Duration = Duration::from_millis(5);

/// What every observer here has.
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

    fn on_deleted(&self, object: &ObjectIdentity) {
        self.0.wake(self.0.index.order_gone(&object.to_metadata()), Duration::ZERO);
    }
}

/// Observes Worlds.
pub(super) struct Worlds(pub(super) Noted);

impl Observer for Worlds {
    type Object = Trimmed<World>;

    fn on_applied(&self, Trimmed(world): Trimmed<World>) {
        self.0.wake(self.0.index.world_seen(world), COALESCE);
    }

    fn on_deleted(&self, object: &ObjectIdentity) {
        self.0.wake(self.0.index.world_gone(&object.to_metadata()), COALESCE);
    }
}

/// Observes the pods of orders.
pub(super) struct Pods(pub(super) Noted);

impl Observer for Pods {
    type Object = PodRecord;

    fn on_applied(&self, pod: PodRecord) {
        let Some((key, pod)) = pod.into_observed() else { return };
        let delay = match pod.urgency() {
            Urgency::Now => COALESCE,
            Urgency::Routine => ROUTINE,
        };
        self.0.wake(self.0.index.pod_seen(&key, pod), delay);
    }

    fn on_deleted(&self, object: &ObjectIdentity) {
        let ObjectIdentity { namespace: Some(namespace), name, uid, version, work_order: Some(order) } = object else {
            return;
        };
        let key = OrderKey { namespace: namespace.clone(), name: order.clone() };
        self.0.wake(self.0.index.pod_gone(&key, name, uid, *version), COALESCE);
    }
}

/// Observes nodes.
pub(super) struct Nodes(pub(super) Noted);

impl Observer for Nodes {
    type Object = Node;

    fn on_applied(&self, node: Node) {
        self.0.wake(self.0.index.node_seen(observed_node(node)), Duration::ZERO);
    }

    fn on_deleted(&self, object: &ObjectIdentity) {
        self.0.wake(self.0.index.node_gone(&object.name), Duration::ZERO);
    }
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

impl FromParts for WorkOrder {
    type Spec = WorkOrderSpec;
    type Status = WorkOrderStatus;

    fn from_parts(metadata: ObjectMeta, spec: WorkOrderSpec, status: Option<WorkOrderStatus>) -> Self {
        Self { metadata, spec, status }
    }
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

impl FromParts for World {
    type Spec = WorldSpec;
    type Status = WorldStatus;

    fn from_parts(metadata: ObjectMeta, spec: WorldSpec, status: Option<WorldStatus>) -> Self {
        Self { metadata, spec, status }
    }
}

impl Kind for PodRecord {
    const LABEL: ObjectLabel = ObjectLabel::Pod;
}
