//! A role that only this test knows: it needs a builder and its data, and everything else reads it as any other pod.

use manyworlds_api::labels;
use manyworlds_api::object::{ObjectId, Stored};
use manyworlds_api::result::FailureClass;
use manyworlds_api::world::WorldStage;

use super::model::{Model, specification};
use super::started;
use crate::attempt::{AttemptState, NodeState, observe};
use crate::node_resources::Resources;
use crate::observation::{OrderPod, PodOwner, PodPhase, Presence, StageState, Stages, Urgency};
use crate::resources::{Attempt, Parts, container, pod_of};
use crate::role::{BaseAccess, BaselineAccess, Leaves, ModelCalls, OwnerKind, PodRole, Roles, Stage, WORK, role_of};
use crate::snapshot::Settings;

static PROBE: PodRole = PodRole {
    name: "probe",
    owner: OwnerKind::WorkOrder,
    leaves: Leaves::Result,
    stages: &[
        Stage {
            container: "ask",
            shown_as: WorldStage::Working,
            failure_class: FailureClass::Worker,
            models: ModelCalls::Allowed,
            base: BaseAccess::None,
            baseline: BaselineAccess::None,
            stores: &[],
            reads: &[],
            done: None,
        },
        Stage {
            container: "answer",
            shown_as: WorldStage::Evaluating,
            failure_class: FailureClass::Evaluation,
            models: ModelCalls::Refused,
            base: BaseAccess::None,
            baseline: BaselineAccess::None,
            stores: &[],
            reads: &[],
            done: None,
        },
    ],
};

static WITH_PROBE: Roles = &[&WORK, &PROBE];

fn ended(exit_code: i32) -> StageState {
    StageState::Ended { exit_code, reason: String::new(), message: String::new(), started: None, finished: None }
}

/// The builder of the role, and the pod as the watch would read it.
fn probe(model: &Model) -> OrderPod {
    let resources = k8s_openapi::api::core::v1::ResourceRequirements::default();
    let stage = |name| container(name, "image", "/probe".to_owned(), Vec::new(), Vec::new(), &resources);
    let order = Stored::parse(model.order.clone()).unwrap();
    let made = pod_of(
        &order,
        Attempt {
            role: &PROBE,
            name: "fix-probe-1".to_owned(),
            owner: "fix".to_owned(),
            number: 1,
            labels: [(labels::WORK_ORDER.to_owned(), "fix".to_owned())].into(),
        },
        Parts { stages: PROBE.stages.iter().map(|one| stage(one.container)).collect(), volumes: Vec::new() },
    )
    .owned_by(order.uid());
    let spec = made.spec.as_ref().unwrap();
    assert_eq!(spec.init_containers.as_ref().unwrap()[0].name, "ask");
    assert_eq!(spec.containers[0].name, "answer");
    let label = made.metadata.labels.as_ref().unwrap()[labels::ROLE].clone();
    let owner = &made.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(owner.kind, "WorkOrder");
    OrderPod {
        id: ObjectId {
            namespace: "team".into(),
            name: made.metadata.name.as_deref().unwrap().parse().unwrap(),
            uid: "probe-uid".parse().unwrap(),
        },
        version: "1".parse().unwrap(),
        owner: PodOwner { kind: OwnerKind::WorkOrder, name: owner.name.clone(), uid: owner.uid.clone() },
        attempt: 1,
        number: 1,
        presence: Presence::Present,
        node: Some("node".into()),
        unschedulable: None,
        created: model.now,
        phase: PodPhase::Running,
        reason: None,
        message: None,
        conditions: Vec::new(),
        stages: Stages::new(role_of(WITH_PROBE, Some(&label)).unwrap()),
        requests: Resources::default(),
    }
}

#[test]
fn the_stages_of_a_new_role_are_read_by_its_data() {
    let model = started(specification(&["alpha"]), 2);
    let settings = Settings::new("runner".to_owned(), "http://operator".to_owned());
    let look = |pod: &OrderPod| observe(pod, NodeState::Answers, &settings, model.now);
    let mut pod = probe(&model);
    pod.stages.set("ask", StageState::Running { since: Some(model.now) });
    assert!(matches!(look(&pod), AttemptState::Active(active) if active.stage == WorldStage::Working));
    assert_eq!((pod.urgency(), pod.stages.spends_no_more()), (Urgency::Routine, false));
    pod.stages.set("ask", ended(0));
    pod.stages.set("answer", StageState::Running { since: Some(model.now) });
    assert!(matches!(look(&pod), AttemptState::Active(active) if active.stage == WorldStage::Evaluating));
    assert!(pod.stages.spends_no_more());
    for (stage, class) in [("ask", FailureClass::Worker), ("answer", FailureClass::Evaluation)] {
        let mut failed = pod.clone();
        failed.stages.set(stage, ended(7));
        let AttemptState::Ended(end) = look(&failed) else { panic!("{stage} has ended") };
        assert_eq!((end.failure.unwrap().class, failed.urgency()), (class, Urgency::Now), "{stage}");
    }
}

#[test]
fn a_pod_of_a_new_role_is_no_attempt_of_a_world_and_goes_with_its_order() {
    let mut model = started(specification(&["alpha"]), 2);
    let pod = probe(&model);
    model.pods.insert(pod.name().to_string(), pod);
    model.settle();
    assert_eq!(model.created_pods, ["fix-alpha-1"], "the World's own attempt goes on");
    model.scores("fix-alpha-1", 100, 1);
    model.settle();
    model.settle();
    assert!(model.is_finished());
    assert_eq!(model.deleted_pods, ["fix-probe-1"]);
}
