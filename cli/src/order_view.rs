//! The state of one order at one moment. `render` turns it into text.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use manyworlds_api::conditions::{OrderCondition, Truth, truth};
use manyworlds_api::work_order::{RankedWorld, Variant};
use manyworlds_api::{WorkOrder, WorkOrderStatus, World, WorldStatus, labels};

use crate::errors::Failure;
use crate::stage::{Stage, is_evaluation, pod_start};

/// One order with its Worlds and their pods.
#[derive(Clone, Debug)]
pub struct OrderView {
    /// The order.
    pub order: WorkOrder,
    worlds: Vec<World>,
    pods: Vec<Pod>,
}

impl OrderView {
    /// Joins an order with its Worlds and pods.
    ///
    /// - **Guarantees:** Worlds and pods of an earlier order of the same name are left out.
    pub fn new(order: WorkOrder, worlds: Vec<World>, pods: Vec<Pod>) -> Self {
        let uid = order.uid().unwrap_or_default();
        let worlds: Vec<World> = worlds.into_iter().filter(|world| world.spec.order.uid == uid).collect();
        let pods = pods.into_iter().filter(|pod| belongs_to_any(pod, &worlds)).collect();
        Self { order, worlds, pods }
    }

    /// Returns the variants in the sequence that the order gives.
    pub fn variants(&self) -> &[Variant] {
        &self.order.spec.worlds.variants
    }

    /// Resolves a name that a user typed to the name of a variant.
    ///
    /// - **Shape:** `name` is the variant's name (`alpha`) or that of its World resource (`fix-270-alpha`).
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`], with the variants of the order, when none has this name.
    pub fn variant(&self, name: &str) -> Result<String, Failure> {
        let order = self.name();
        let names: Vec<&str> = self.variants().iter().map(|variant| variant.name.as_str()).collect();
        let found = names.iter().find(|variant| **variant == name || labels::world_name(&order, variant) == name);
        match found {
            Some(variant) => Ok((*variant).to_owned()),
            None => Err(Failure::Usage(format!("WorkOrder {order} has no World {name}; it has {}", names.join(", ")))),
        }
    }

    /// Returns the World of a variant; `None` while it waits for capacity.
    pub fn world(&self, variant: &str) -> Option<&World> {
        self.worlds.iter().find(|world| world.spec.variant.name == variant)
    }

    /// Returns the status of a variant's World.
    pub fn world_status(&self, variant: &str) -> Option<&WorldStatus> {
        self.world(variant)?.status.as_ref()
    }

    /// Returns the newest pod of a variant: of its newest attempt the one that works, or the last of those that judge.
    pub fn pod(&self, variant: &str) -> Option<&Pod> {
        self.pods_of(variant).max_by_key(|pod| place_of(pod))
    }

    /// Returns when the newest attempt of a variant began.
    pub fn start(&self, variant: &str) -> Option<Timestamp> {
        let newest = attempt_of(self.pod(variant)?);
        self.pods_of(variant).filter(|pod| attempt_of(pod) == newest).filter_map(pod_start).min()
    }

    /// Returns the newest pod of an attempt that a stage runs in. Before there is one, that is the pod that comes before it.
    ///
    /// - **Shape:** `attempt` is the newest one where it is not given.
    pub fn pod_of_stage(&self, variant: &str, attempt: Option<i32>, stage: Stage) -> Option<&Pod> {
        let attempt = attempt.or_else(|| self.pod(variant).map(attempt_of))?;
        let of_attempt = || self.pods_of(variant).filter(move |pod| attempt_of(pod) == attempt);
        let own = of_attempt().filter(|pod| stage.runs_in(pod)).max_by_key(|pod| place_of(pod));
        own.or_else(|| of_attempt().find(|pod| stage == Stage::Evaluate && !is_evaluation(pod)))
    }

    /// Returns whether the status of a variant's World says how an attempt ended.
    pub fn has_recorded(&self, variant: &str, attempt: i32) -> bool {
        self.world_status(variant).is_some_and(|status| status.attempt_count >= attempt)
    }

    fn pods_of<'a, 'b>(&'a self, variant: &'b str) -> impl Iterator<Item = &'a Pod> + use<'a, 'b> {
        self.pods.iter().filter(move |pod| pod.labels().get(labels::WORLD).is_some_and(|name| name == variant))
    }

    /// Returns the order's name.
    pub fn name(&self) -> String {
        self.order.name_any()
    }

    /// Returns the order's status; empty while the operator has not seen it.
    pub fn status(&self) -> WorkOrderStatus {
        self.order.status.clone().unwrap_or_default()
    }

    /// Returns the name of the variant that won.
    pub fn winner(&self) -> Option<&str> {
        self.order.status.as_ref()?.winner.as_deref()
    }

    /// Returns the rank of a variant, from 0, and its entry in the ranking.
    pub fn ranked(&self, variant: &str) -> Option<(usize, &RankedWorld)> {
        let ranking = &self.order.status.as_ref()?.ranking;
        ranking.iter().enumerate().find(|(_, ranked)| ranked.world == variant)
    }

    /// Returns the state of a condition of the order.
    pub fn truth(&self, condition: OrderCondition) -> Truth {
        let conditions = self.order.status.as_ref().map(|status| status.conditions.as_slice());
        truth(conditions.unwrap_or_default(), condition.as_str())
    }

    /// Returns whether the order has ended, in success or failure.
    pub fn is_finished(&self) -> bool {
        self.order.is_finished()
    }

    /// Returns whether the order has succeeded.
    pub fn has_succeeded(&self) -> bool {
        self.truth(OrderCondition::Succeeded) == Truth::True
    }
}

/// Returns the number of a pod's attempt; 0 when the pod has no label for it.
pub fn attempt_of(pod: &Pod) -> i32 {
    pod.labels().get(labels::ATTEMPT).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Returns the place of a pod among those of its World: by attempt, and then by evaluation.
fn place_of(pod: &Pod) -> (i32, i32) {
    let evaluation = pod.labels().get(labels::EVALUATION).and_then(|number| number.parse().ok());
    (attempt_of(pod), evaluation.unwrap_or_default())
}

fn belongs_to_any(pod: &Pod, worlds: &[World]) -> bool {
    let owners = pod.owner_references();
    owners.is_empty() || worlds.iter().any(|world| owners.iter().any(|owner| Some(&owner.uid) == world.uid().as_ref()))
}
