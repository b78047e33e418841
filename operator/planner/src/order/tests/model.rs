//! A small cluster: it carries out plans, and its pods do what a test says.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use manyworlds_api::artifacts::{ArtifactDigest, ArtifactName};
use manyworlds_api::object::{ObjectId, Stored};
use manyworlds_api::result::{
    Collection, DiffStatistics, FailureClass, GateOutcome, GateResult, StageReport, WorkerReport, WorldResult,
};
use manyworlds_api::work_order::WorkOrderSpec;
use manyworlds_api::{WorkOrder, World, conditions, labels};
use serde_json::json;

use crate::node_resources::Resources;
use crate::observation::{ObservedNode, OrderPod, PodOwner, PodPhase, Presence, Readiness, StageState, Stages};
use crate::policy::capacity::{Capacity, Slot};
use crate::policy::occupation::holds_slot;
use crate::policy::refusal::Refusal;
use crate::role::{BASELINE, Leaves, OwnerKind, ROLES, role_of};
use crate::{Effect, Event, ModelUse, Plan, Settings, Snapshot, Texts, decide};

/// What becomes of the pods that judge the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Baselines {
    /// Each ends well at once: its gates pass in part.
    EndAtOnce,
    /// What a test says.
    ByTest,
}

pub(super) struct Model {
    pub(super) now: Timestamp,
    pub(super) order: WorkOrder,
    pub(super) worlds: BTreeMap<String, World>,
    pub(super) pods: BTreeMap<String, OrderPod>,
    pub(super) capacity: Capacity,
    pub(super) lost_nodes: Vec<Arc<str>>,
    pub(super) deleted_pods: Vec<String>,
    /// All but those that judge the base.
    pub(super) created_pods: Vec<String>,
    pub(super) created_baselines: Vec<String>,
    pub(super) baselines: Baselines,
    pub(super) writes: usize,
    pub(super) events: Vec<Event>,
    pub(super) order_deleted: bool,
    status_written: Option<Timestamp>,
    pub(super) progress_writes: u32,
    pub(super) models: ModelUse,
    pub(super) refusal: Option<Refusal>,
    version: u64,
}

pub(super) fn specification(variants: &[&str]) -> WorkOrderSpec {
    let variants: Vec<serde_json::Value> = variants.iter().map(|name| json!({ "name": name })).collect();
    serde_json::from_value(json!({
        "source": { "git": { "url": "https://host/repository" } },
        "task": { "title": "Fix it" },
        "worlds": { "variants": variants },
        "evaluation": { "gates": [{ "name": "test", "kind": "Test", "command": ["check"], "points": 100 }] },
    }))
    .unwrap()
}

/// Returns the Events of a plan whose writes all succeed.
pub(super) fn events(plan: &Plan) -> impl Iterator<Item = &Event> {
    let of_worlds = plan.effects.iter().flat_map(|effect| match effect {
        Effect::PatchWorld(patch) => patch.events.as_slice(),
        _ => &[],
    });
    of_worlds.chain(plan.status.iter().flat_map(|change| &change.events))
}

impl Model {
    /// A cluster with room for so many Worlds of the default size.
    pub(super) fn new(spec: WorkOrderSpec, slots: u64) -> Self {
        let mut order = WorkOrder::new("fix", spec);
        let now = Timestamp::from_second(1_000_000).unwrap();
        order.metadata.namespace = Some("team".to_owned());
        order.metadata.uid = Some("order-1".to_owned());
        order.metadata.resource_version = Some("1".to_owned());
        order.metadata.generation = Some(1);
        order.metadata.creation_timestamp = Some(Time(now));
        let mut capacity = Capacity::default();
        let size = Resources::of_world(&order.spec.worlds.sizing.per_world).unwrap();
        capacity.node_set(ObservedNode {
            name: "node".into(),
            schedulable: true,
            readiness: Readiness::Ready,
            allocatable: Resources {
                processor: size.processor * slots,
                memory: size.memory * slots,
                storage: size.storage * slots,
                pods: 110,
            },
            ..ObservedNode::default()
        });
        Self {
            now,
            order,
            worlds: BTreeMap::new(),
            pods: BTreeMap::new(),
            capacity,
            lost_nodes: Vec::new(),
            deleted_pods: Vec::new(),
            created_pods: Vec::new(),
            created_baselines: Vec::new(),
            baselines: Baselines::EndAtOnce,
            writes: 0,
            events: Vec::new(),
            order_deleted: false,
            status_written: None,
            progress_writes: u32::MAX,
            models: ModelUse::default(),
            refusal: None,
            version: 1,
        }
    }

    pub(super) fn plan(&mut self) -> Plan {
        let snapshot = Snapshot {
            now: self.now,
            order: Arc::new(Stored::parse(self.order.clone()).unwrap()),
            texts: Texts::Kept,
            worlds: self.worlds.values().cloned().map(|world| Arc::new(Stored::parse(world).unwrap())).collect(),
            pods: self.pods.values().cloned().map(Arc::new).collect(),
            lost_nodes: self.lost_nodes.iter().cloned().collect(),
            status_written: self.status_written,
            progress_writes: self.progress_writes,
            refusal: self.refusal.clone(),
            models: self.models.clone(),
            settings: Arc::new(Settings {
                gateway_url: Some("http://gateway".to_owned()),
                ..Settings::new("runner".to_owned(), "http://operator".to_owned())
            }),
        };
        let snapshot = snapshot.validate();
        let decision = decide(&snapshot);
        let request = decision.request(|least, placement| self.capacity.share(least, placement));
        let grant = self.capacity.reserve(&request);
        let plan = decision.plan(grant);
        self.capacity.confirm(&request.uid);
        plan
    }

    /// Looks at the order until there is nothing left to do now. Returns when to look again.
    pub(super) fn settle(&mut self) -> Option<Timestamp> {
        for _ in 0..20 {
            let plan = self.plan();
            if plan.effects.is_empty() && plan.status.is_none() {
                return plan.next_check;
            }
            self.carry_out(&plan);
        }
        panic!("the order does not come to rest");
    }

    /// Looks at the order until it would carry out such a plan, which it does not.
    pub(super) fn settle_until(&mut self, wanted: impl Fn(&Plan) -> bool) {
        for _ in 0..20 {
            let plan = self.plan();
            if wanted(&plan) {
                return;
            }
            self.carry_out(&plan);
        }
        panic!("no such plan comes");
    }

    pub(super) fn carry_out(&mut self, plan: &Plan) {
        self.events.extend(events(plan).cloned());
        for effect in &plan.effects {
            self.writes += if matches!(effect, Effect::OpenWorld { .. }) { 2 } else { 1 };
            self.version += 1;
            self.write(effect);
        }
        self.settle_pods();
        if let Some(change) = &plan.status {
            self.writes += 1;
            self.order.status = Some(change.status.clone());
            self.status_written = Some(self.now);
        }
    }

    fn write(&mut self, effect: &Effect) {
        match effect {
            Effect::PatchWorld(patch) => {
                let world = self.worlds.get_mut(patch.world.name()).unwrap();
                assert_eq!(&Stored::parse(world.clone()).unwrap(), &*patch.world, "the World has changed since");
                world.metadata.resource_version = Some(self.version.to_string());
                world.status = Some(patch.status.clone());
            }
            Effect::OpenWorld { world, pod } => {
                let name = world.metadata.name.clone().unwrap();
                let mut made = (**world).clone();
                made.metadata.uid = Some(format!("world-{}", self.version));
                made.metadata.resource_version = Some(self.version.to_string());
                made.metadata.creation_timestamp = Some(Time(self.now));
                let owned = (**pod).clone().owned_by(Stored::parse(made.clone()).unwrap().uid());
                assert!(self.worlds.insert(name, made).is_none(), "a World was made twice");
                self.make_pod(&owned);
            }
            Effect::StartAttempt { pod } | Effect::StartEvaluation { pod } => {
                self.make_pod(pod);
            }
            Effect::DeletePod { pod, .. } => {
                self.deleted_pods.push(pod.name.to_string());
                self.pods.get_mut(pod.name.as_str()).unwrap().presence = Presence::Gone;
            }
            Effect::DeleteWorld(world) => {
                self.worlds.remove(world.name.as_str());
            }
            Effect::DeleteOrder(_) => self.order_deleted = true,
        }
    }

    fn make_pod(&mut self, pod: &k8s_openapi::api::core::v1::Pod) {
        let name = pod.metadata.name.clone().unwrap();
        let owner = pod.metadata.owner_references.as_ref().unwrap()[0].clone();
        let label = |key: &str| pod.metadata.labels.as_ref().unwrap()[key].clone();
        let role = role_of(ROLES, Some(&label(labels::ROLE))).unwrap();
        let observed = OrderPod {
            id: ObjectId {
                namespace: "team".into(),
                name: name.parse().unwrap(),
                uid: format!("pod-{}", self.version).parse().unwrap(),
            },
            version: self.version.to_string().parse().unwrap(),
            owner: PodOwner { kind: role.owner, name: owner.name, uid: owner.uid },
            attempt: label(labels::ATTEMPT).parse().unwrap(),
            number: pod
                .metadata
                .labels
                .as_ref()
                .unwrap()
                .get(labels::EVALUATION)
                .map_or(1, |number| number.parse().unwrap()),
            presence: Presence::Present,
            node: Some("node".into()),
            unschedulable: None,
            created: self.now,
            phase: PodPhase::Pending,
            reason: None,
            message: None,
            conditions: Vec::new(),
            stages: Stages::new(role),
            requests: Resources::of_world(&self.order.spec.worlds.sizing.per_world).unwrap(),
        };
        let before = self.pods.insert(name.clone(), observed);
        assert!(before.is_none_or(|before| before.presence == Presence::Gone), "pod {name} was made twice");
        if role.name == BASELINE.name {
            self.created_baselines.push(name.clone());
            if self.baselines == Baselines::EndAtOnce {
                self.judges(&name, 40, 0);
            }
        } else {
            self.created_pods.push(name);
        }
        self.settle_pods();
    }

    /// Forgets pods as the index does, and has the others hold their slots or free them.
    fn settle_pods(&mut self) {
        let world_of = |pod: &OrderPod| {
            self.worlds.values().find(|world| world.metadata.uid.as_deref() == Some(pod.owner.uid.as_str()))
        };
        let awaited = |pod: &OrderPod| {
            let recorded = world_of(pod).map(|world| world.status.as_ref().map_or(0, |status| status.attempt_count));
            match pod.owner.kind {
                OwnerKind::World => recorded.is_some_and(|recorded| pod.attempt > recorded),
                OwnerKind::WorkOrder => !self.order.is_finished(),
            }
        };
        let forgotten = |pod: &OrderPod| pod.presence == Presence::Gone && !awaited(pod);
        let names: Vec<String> =
            self.pods.iter().filter(|(_, pod)| forgotten(pod)).map(|(name, _)| name.clone()).collect();
        let slots: Vec<(OrderPod, bool)> = self
            .pods
            .values()
            .map(|pod| {
                let is_like = |other: &&OrderPod| other.owner == pod.owner && other.attempt == pod.attempt;
                (pod.clone(), holds_slot(pod, world_of(pod), self.pods.values().filter(is_like)))
            })
            .collect();
        for (pod, holds) in slots {
            if holds {
                let slot = Slot { namespace: "team".into(), node: pod.node.clone(), size: pod.requests };
                self.capacity.occupy(pod.uid(), slot);
            } else {
                self.capacity.release(pod.uid());
            }
        }
        self.pods.retain(|name, _| !names.contains(name));
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// The pod has fetched the repository and stored the base, and its worker works.
    pub(super) fn prepares(&mut self, pod: &str) {
        let report = StageReport { base_commit: Some("b".repeat(40)), ..StageReport::done() };
        let (ended, since) = (self.ended(0, report.to_message().unwrap()), Some(self.now));
        self.finish(pod, PodPhase::Pending, |stages| {
            stages.set("prepare", ended);
            stages.set("work", StageState::Running { since });
        });
    }

    /// The pod's worker has ended, and what it left is stored.
    pub(super) fn collects(&mut self, pod: &str) {
        let worker = WorkerReport { exit_code: Some(0), timed_out: false, milliseconds: 1, summary: String::new() };
        let report = StageReport {
            base_commit: Some("b".repeat(40)),
            worker: Some(worker),
            collection: Some(Collection {
                artifacts: vec![ArtifactDigest { name: ArtifactName::Change, sha256: "d".repeat(64), bytes: 1 }],
                reasons: vec!["the worker left a program".to_owned()],
            }),
            ..StageReport::done()
        };
        let state = self.ended(0, report.to_message().unwrap());
        self.finish(pod, PodPhase::Succeeded, |stages| stages.set("collect", state));
    }

    /// The pod's worker has ended and its change is judged, in the first pod of those that judge.
    pub(super) fn scores(&mut self, pod: &str, points: i32, changed_lines: i32) {
        self.collects(pod);
        self.settle();
        self.judges(&format!("{pod}-e1"), points, changed_lines);
    }

    /// The last stage of the pod ends well, whatever its role.
    pub(super) fn ends_well(&mut self, pod: &str, points: i32) {
        match self.pods[pod].role().leaves {
            Leaves::Collection => self.collects(pod),
            Leaves::Result => self.judges(pod, points, 3),
        }
    }

    /// The pod's gates have run.
    pub(super) fn judges(&mut self, pod: &str, points: i32, changed_lines: i32) {
        let outcome = if points == 100 { GateOutcome::Passed } else { GateOutcome::Partial };
        self.gives(pod, (outcome, points), changed_lines, "");
    }

    /// The pod's first gate has ended with an outcome and points, for a reason.
    pub(super) fn gives(&mut self, pod: &str, gate: (GateOutcome, i32), changed_lines: i32, reason: &str) {
        let (outcome, points) = gate;
        let report = StageReport {
            result: Some(WorldResult {
                commit: Some("c".repeat(40)),
                sealed: true,
                landlock: Some(6),
                attack: None,
                gates: vec![GateResult {
                    name: self.order.spec.evaluation.gates[0].name.clone(),
                    outcome,
                    points,
                    passed: None,
                    total: None,
                    tests: None,
                    milliseconds: 1,
                    reason: reason.to_owned(),
                }],
                diff: DiffStatistics { files: 1, insertions: changed_lines, deletions: 0 },
                artifacts: Vec::new(),
                reasons: Vec::new(),
            }),
            base_commit: Some("b".repeat(40)),
            ..StageReport::done()
        };
        let state = self.ended(0, report.to_message().unwrap());
        self.finish(pod, PodPhase::Succeeded, |stages| stages.set("judge", state));
    }

    /// The pod's worker has failed, or the stage that judges.
    pub(super) fn fails(&mut self, pod: &str, class: FailureClass, message: &str) {
        let report = StageReport::failed(class, conditions::Reason::WorkerFailed, message);
        let ended = self.ended(12, report.to_message().unwrap());
        let container = match self.pods[pod].role().leaves {
            Leaves::Collection => "work",
            Leaves::Result => "judge",
        };
        self.finish(pod, PodPhase::Failed, |stages| stages.set(container, ended));
    }

    /// The pod vanishes.
    pub(super) fn vanishes(&mut self, pod: &str) {
        self.pods.get_mut(pod).unwrap().presence = Presence::Gone;
        self.settle_pods();
    }

    fn ended(&self, exit_code: i32, message: String) -> StageState {
        StageState::Ended {
            exit_code,
            reason: String::new(),
            message,
            started: Some(self.now),
            finished: Some(self.now),
        }
    }

    fn finish(&mut self, pod: &str, phase: PodPhase, change: impl FnOnce(&mut Stages)) {
        let pod = self.pods.get_mut(pod).unwrap_or_else(|| panic!("there is no pod {pod}"));
        pod.phase = phase;
        change(&mut pod.stages);
        self.settle_pods();
    }

    pub(super) fn condition(&self, kind: &str) -> (String, String) {
        let status = self.order.status.as_ref().unwrap();
        let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        (found.status.clone(), found.reason.clone())
    }

    pub(super) fn message(&self) -> &str {
        self.order.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.order.status.is_some() && self.condition("Finished").0 == "True"
    }
}
