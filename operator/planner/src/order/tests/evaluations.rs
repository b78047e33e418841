//! Evaluations: a World is judged in a pod of its own, and what the cluster does to that pod costs no other work (W3, W4, W14).

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use manyworlds_api::object::{Stored, WorldUid};
use manyworlds_api::result::{FailureClass, WorkerReport};
use manyworlds_api::work_order::{EvaluationNetwork, ExtraVolume, PodTemplate, WorkOrderSpec};
use manyworlds_api::world::WorldStage;
use manyworlds_api::{WorldStatus, labels};
use serde_json::json;

use super::model::{Model, specification};
use super::{FIVE, evaluations, pods, started, truth};
use crate::Settings;
use crate::node_resources::Resources;
use crate::observation::{PodPhase, StageState};
use crate::policy::retry::MOST_EVALUATIONS;
use crate::resources::{Evaluation, Subject, evaluation, pod, world};

fn status(model: &Model) -> WorldStatus {
    model.worlds["fix-alpha"].status.clone().unwrap_or_default()
}

/// An order of one World whose worker is done.
fn worked() -> Model {
    let mut model = started(specification(&["alpha"]), 1);
    model.collects("fix-alpha-1");
    model.settle();
    model
}

#[test]
fn a_world_whose_worker_is_done_is_judged_in_the_same_slot() {
    let mut model = started(specification(&["alpha", "beta"]), 1);
    model.collects("fix-alpha-1");
    assert_eq!(model.capacity.occupied(), 1, "its slot is kept for the pod that judges");
    model.settle();
    assert_eq!(model.created_pods, ["fix-alpha-1", "fix-alpha-1-e1"]);
    assert_eq!(model.capacity.occupied(), 1);
    model.judges("fix-alpha-1-e1", 100, 1);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-beta-1"], "the slot is free once the World is judged");
    let status = status(&model);
    assert_eq!((status.stage, status.attempt_count), (Some(WorldStage::Scored), 1));
    assert_eq!(status.reasons, ["the worker left a program"], "what was found of the worker is on the World");
    assert_eq!(status.base_commit, Some("b".repeat(40)));
    assert_eq!((status.attempts[0].pod.as_str(), status.attempts[0].message.as_str()), ("fix-alpha-1", ""));
}

/// W4: an evaluation that the cluster ends is followed by another one of the same change, and by no other work.
#[test]
fn a_failed_evaluation_is_followed_by_the_next_one_and_the_work_is_kept() {
    let mut model = worked();
    model.fails("fix-alpha-1-e1", FailureClass::Infrastructure, "the operator could not be reached");
    let next_check = model.settle();
    assert_eq!(next_check, Some(model.now + SignedDuration::from_secs(1)), "the same waits as those of attempts");
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1"]);
    let shown = status(&model);
    assert_eq!((shown.stage, shown.attempt_count), (Some(WorldStage::Evaluating), 0));
    assert!(shown.message.unwrap().contains("evaluation 1 of at most 5 failed: the operator could not be reached"));
    model.pass(1);
    model.settle();
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1", "fix-alpha-1-e2"]);
    model.vanishes("fix-alpha-1-e2");
    model.pass(2);
    model.settle();
    model.judges("fix-alpha-1-e3", 100, 1);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1"], "the worker ran once");
    let status = status(&model);
    assert_eq!((status.stage, status.attempt_count, status.counted_attempts), (Some(WorldStage::Scored), 1, 1));
    assert_eq!(status.attempts[0].message, "it took 3 evaluations");
}

#[test]
fn a_world_that_cannot_be_judged_fails_after_the_last_evaluation_and_is_not_worked_anew() {
    let mut model = worked();
    for number in 1..=MOST_EVALUATIONS {
        model.fails(&format!("fix-alpha-1-e{number}"), FailureClass::Infrastructure, "the node was lost");
        model.settle();
        model.pass(60);
        model.settle();
    }
    assert_eq!((pods(&model).len(), evaluations(&model).len()), (1, 5));
    let status = status(&model);
    assert_eq!((status.stage, status.attempt_count), (Some(WorldStage::Failed), 1));
    let message = status.message.unwrap();
    assert!(message.contains("the node was lost") && message.contains("it took 5 evaluations"), "{message}");
    assert!(model.is_finished());
}

/// W4: a change that cannot be taken is the worker's fault, and a fault of the order is nobody else's.
#[test]
fn a_failure_that_is_not_the_clusters_ends_the_attempt() {
    let mut model = worked();
    model.fails("fix-alpha-1-e1", FailureClass::Worker, "the change is refused");
    model.settle();
    model.pass(1);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-alpha-2"]);
    assert_eq!((status(&model).attempts[0].class, evaluations(&model).len()), (Some(FailureClass::Worker), 1));

    let mut model = worked();
    model.fails("fix-alpha-1-e1", FailureClass::Spec, "the bundle does not hold the pinned commit");
    model.settle();
    assert_eq!(model.condition("Finished").0, "True");
    assert!(model.message().contains("the bundle does not hold"), "{}", model.message());
}

#[test]
fn an_evaluation_that_cannot_start_is_removed_and_followed() {
    let mut model = worked();
    let stuck = StageState::Waiting { reason: "ErrImagePull".to_owned(), message: "no such image".to_owned() };
    model.pods.get_mut("fix-alpha-1-e1").unwrap().stages.set("judge", stuck);
    model.settle();
    assert_eq!(model.condition("Stalled"), truth("True", "ImagePullFailed"));
    model.pass(120);
    model.settle();
    assert_eq!(model.deleted_pods, ["fix-alpha-1-e1"]);
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1", "fix-alpha-1-e2"]);
}

/// W4: nobody knows what the pod that worked has reported once it is gone, so the World is worked anew.
#[test]
fn an_evaluation_that_fails_after_its_work_was_forgotten_ends_the_attempt() {
    let mut model = worked();
    // Somebody deleted the pod, and the operator was away.
    model.pods.remove("fix-alpha-1");
    model.fails("fix-alpha-1-e1", FailureClass::Infrastructure, "the node was lost");
    model.settle();
    model.pass(1);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-alpha-2"]);
    assert_eq!(status(&model).counted_attempts, 0);
}

#[test]
fn a_result_counts_though_the_pod_that_worked_was_forgotten() {
    let mut model = worked();
    model.pods.remove("fix-alpha-1");
    model.judges("fix-alpha-1-e1", 100, 1);
    model.settle();
    assert_eq!(model.order.status.as_ref().unwrap().winner.as_deref(), Some("alpha"));
}

/// W4: what a worker did before its order was suspended is not done again.
#[test]
fn a_suspended_order_goes_on_with_its_evaluations() {
    let mut model = worked();
    for _ in 0..=MOST_EVALUATIONS {
        model.order.spec.suspend = true;
        model.settle();
        assert_eq!(model.deleted_pods.last().map(String::as_str), Some("fix-alpha-1-e1"));
        assert_eq!((status(&model).stage, status(&model).attempt_count), (Some(WorldStage::Suspended), 0));
        assert_eq!(model.capacity.occupied(), 0, "a suspended order holds nothing");
        let writes = model.writes;
        model.pass(3600);
        model.settle();
        assert_eq!(model.writes, writes);
        model.order.spec.suspend = false;
        model.settle();
    }
    assert!(evaluations(&model).iter().all(|name| *name == "fix-alpha-1-e1"), "a suspension costs no evaluation");
    model.judges("fix-alpha-1-e1", 100, 1);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1"]);
    assert_eq!(model.order.status.as_ref().unwrap().winner.as_deref(), Some("alpha"));
}

#[test]
fn a_world_that_goes_on_after_a_suspension_waits_for_a_slot() {
    let mut model = worked();
    model.order.spec.suspend = true;
    model.settle();
    let node = model.capacity.node("node").unwrap().clone();
    model.capacity.node_set(crate::observation::ObservedNode { schedulable: false, ..node.clone() });
    model.order.spec.suspend = false;
    model.settle();
    assert_eq!(evaluations(&model).len(), 1, "its slot went with the suspension");
    model.capacity.node_set(node);
    model.settle();
    assert_eq!(evaluations(&model).len(), 2);
}

#[test]
fn a_cancelled_order_ends_its_evaluations() {
    let mut model = started(specification(&FIVE), 5);
    model.collects("fix-alpha-1");
    model.settle();
    model.order.spec.cancel = true;
    model.settle();
    assert!(model.deleted_pods.contains(&"fix-alpha-1-e1".to_owned()), "{:?}", model.deleted_pods);
    assert_eq!((model.deleted_pods.len(), model.capacity.occupied()), (5, 0), "what was collected holds nothing");
    assert_eq!(status(&model).stage, Some(WorldStage::Cut));
}

#[test]
fn a_refused_evaluation_is_said_on_the_order_and_not_tried_before_its_time() {
    let mut model = started(specification(&["alpha"]), 1);
    let retry = model.now + SignedDuration::from_secs(5);
    let reason = manyworlds_api::conditions::Reason::PermissionDenied;
    model.refusal = Some(crate::policy::refusal::Refusal::new(reason, "exceeded quota".to_owned(), 1, retry));
    model.collects("fix-alpha-1");
    assert!(model.settle().is_some_and(|next| next <= retry));
    assert!(evaluations(&model).is_empty());
    assert!(model.message().contains("exceeded quota"), "{}", model.message());
    model.pass(5);
    model.settle();
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1"]);
}

fn worker() -> WorkerReport {
    WorkerReport { exit_code: Some(0), timed_out: false, milliseconds: 1, summary: "costs 5$".to_owned() }
}

/// Returns the pods of a World: that in which it works, and the second one that judges it.
fn both(spec: WorkOrderSpec) -> [Pod; 2] {
    let settings = Settings {
        gateway_url: Some("http://gateway".to_owned()),
        ..Settings::new("runner".to_owned(), "http://operator".to_owned())
    };
    let order = Stored::parse(Model::new(spec, 1).order).unwrap();
    let world = world(&order, &order.spec.worlds.variants[0], 0, Resources::default(), &settings);
    let subject = Subject { base_commit: "b".repeat(40), worker: Some(worker()) };
    let which = Evaluation { attempt: 1, number: 2, subject: &subject };
    let uid: WorldUid = "w".parse().unwrap();
    [pod(&order, &world, 1, &settings), evaluation(&order, &world, &which, &settings)].map(|made| made.owned_by(&uid))
}

fn spec_of(pod: &Pod) -> PodSpec {
    pod.spec.clone().unwrap()
}

/// W14: nothing that a worker could have touched is in the pod that judges, and nothing that it must not have is either.
#[test]
fn the_pod_that_judges_shares_nothing_with_the_one_that_works() {
    let mut spec = specification(&["alpha"]);
    spec.worker.model = Some("m".to_owned());
    spec.worker.image = Some("worker".to_owned());
    spec.evaluation.image = Some("gates".to_owned());
    spec.source.git.secret_ref = serde_json::from_value(json!({ "name": "login" })).unwrap();
    let cache: ExtraVolume = serde_json::from_value(json!({ "name": "a", "mountPath": "/a", "emptyDir": {} })).unwrap();
    let data = json!({ "name": "b", "mountPath": "/b", "persistentVolumeClaim": { "claimName": "c" } });
    let data: ExtraVolume = serde_json::from_value(data).unwrap();
    spec.worker.pod_template = Some(PodTemplate { volumes: vec![cache, data], ..PodTemplate::default() });
    let [work, judge] = both(spec).map(|pod| spec_of(&pod));
    let names = |spec: &PodSpec| -> Vec<(String, String)> {
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        all.map(|one| (one.name.clone(), one.image.clone().unwrap_or_default())).collect()
    };
    let expected = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, image)| ((*name).to_owned(), (*image).to_owned())).collect()
    };
    assert_eq!(names(&work), expected(&[("prepare", "runner"), ("work", "worker"), ("collect", "runner")]));
    assert_eq!(names(&judge), expected(&[("checkout", "runner"), ("judge", "gates")]));

    let volumes: Vec<_> = judge.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    let expected = ["order", "runner", "evaluation", "checkout-tmp", "judge-tmp", "token", "extra-a", "extra-b"];
    assert_eq!(volumes, expected, "no folder of the worker, no credential, no token of the gateway");
    for volume in judge.volumes.iter().flatten() {
        let is_shared = volume.empty_dir.is_none() && volume.projected.is_none();
        assert_eq!(is_shared, volume.name == "extra-b", "{}", volume.name);
    }
    let env: Vec<_> = judge.init_containers.iter().flatten().flat_map(|one| one.env.iter().flatten()).collect();
    assert!(env.iter().any(|one| one.name == labels::ENV_BASE_COMMIT && one.value == Some("b".repeat(40))));
    let env: Vec<_> = judge.containers[0].env.iter().flatten().collect();
    let told = env.iter().find(|one| one.name == labels::ENV_WORKER_REPORT).unwrap().value.clone().unwrap();
    // The kubelet makes one dollar sign of two.
    assert_eq!(serde_json::from_str::<WorkerReport>(&told.replace("$$", "$")).unwrap(), worker());
    let collect = &work.containers[0];
    let folders: Vec<_> =
        collect.volume_mounts.iter().flatten().map(|one| (one.mount_path.as_str(), one.read_only)).collect();
    assert!(folders.contains(&(labels::WORK_DIRECTORY, Some(true))), "{folders:?}");
    assert!(folders.iter().all(|(path, _)| *path != labels::GATEWAY_TOKEN_DIRECTORY && *path != "/a"), "{folders:?}");
}

#[test]
fn the_pod_that_judges_has_a_name_and_labels_of_its_own() {
    let mut spec = specification(&["alpha"]);
    for (network, label) in
        [(EvaluationNetwork::None, Some(labels::NETWORK_OF_EVALUATIONS)), (EvaluationNetwork::Inherit, None)]
    {
        spec.evaluation.network = network;
        let [work, judge] = both(spec.clone());
        assert_eq!(judge.metadata.name.as_deref(), Some("fix-alpha-1-e2"));
        let has = |pod: &Pod, key: &str| pod.metadata.labels.as_ref().unwrap().get(key).cloned();
        assert_eq!(has(&judge, labels::ROLE).as_deref(), Some("evaluation"));
        assert_eq!(has(&judge, labels::EVALUATION).as_deref(), Some("2"));
        assert_eq!((has(&judge, labels::NETWORK).as_deref(), has(&work, labels::NETWORK)), (label, None));
        assert_eq!(judge.metadata.owner_references, work.metadata.owner_references);
    }
}

#[test]
fn an_evaluation_that_the_kubelet_evicts_is_followed() {
    let mut model = worked();
    let pod = model.pods.get_mut("fix-alpha-1-e1").unwrap();
    (pod.phase, pod.reason) = (PodPhase::Failed, Some("Evicted".to_owned()));
    pod.message = Some("Usage of EmptyDir volume \"evaluation\" exceeds the limit \"1Gi\".".to_owned());
    pod.stages.set("judge", StageState::Running { since: None });
    model.settle();
    model.pass(1);
    model.settle();
    assert_eq!((pods(&model).len(), evaluations(&model).len()), (1, 2));
}
