use super::*;
use crate::node_resources::Resources;
use crate::observation::PodOwner;
use crate::role::{EVALUATION, OwnerKind, WORK};
use manyworlds_api::Duration;
use manyworlds_api::object::ObjectId;
use manyworlds_api::result::GateOutcome;

const CREATED: i64 = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(CREATED + seconds).unwrap()
}

fn settings() -> Settings {
    Settings { start_timeout: Duration::from_seconds(100), ..Settings::new("runner".to_owned(), "http://o".to_owned()) }
}

fn pod() -> OrderPod {
    OrderPod {
        id: ObjectId { namespace: "team".into(), name: "fix-alpha-1".parse().unwrap(), uid: "uid".parse().unwrap() },
        version: "1".parse().unwrap(),
        owner: PodOwner { kind: OwnerKind::World, name: "fix-alpha".to_owned(), uid: "world".to_owned() },
        attempt: 1,
        number: 1,
        presence: Presence::Present,
        node: Some("node".into()),
        unschedulable: None,
        created: at(0),
        phase: PodPhase::Pending,
        reason: None,
        message: None,
        conditions: Vec::new(),
        stages: Stages::new(&WORK),
        requests: Resources::default(),
    }
}

fn judging() -> OrderPod {
    OrderPod { stages: Stages::new(&EVALUATION), ..pod() }
}

fn ended_with(exit_code: i32, reason: &str, message: &str) -> StageState {
    StageState::Ended {
        exit_code,
        reason: reason.to_owned(),
        message: message.to_owned(),
        started: Some(at(1)),
        finished: Some(at(2)),
    }
}

fn waiting(reason: &str) -> StageState {
    StageState::Waiting { reason: reason.to_owned(), message: "the kubelet says so".to_owned() }
}

fn look(pod: &OrderPod, seconds: i64) -> AttemptState {
    observe(pod, NodeState::Answers, &settings(), at(seconds))
}

fn failure(state: AttemptState) -> (FailureClass, Reason) {
    match state {
        AttemptState::Ended(end) => end.failure.map(|failure| (failure.class, failure.reason)).unwrap(),
        other => panic!("not ended: {other:?}"),
    }
}

fn collection_message() -> String {
    let (base_commit, collection) = (Some("b".repeat(40)), Some(Collection::default()));
    StageReport { base_commit, collection, ..StageReport::done() }.to_message().unwrap()
}

fn result_message() -> String {
    report_with_result().to_message().unwrap()
}

fn report_with_result() -> StageReport {
    let gate = manyworlds_api::result::GateResult {
        name: "test".to_owned(),
        outcome: GateOutcome::Passed,
        points: 100,
        passed: None,
        total: None,
        tests: None,
        milliseconds: 1,
        reason: String::new(),
    };
    let result = WorldResult {
        commit: None,
        sealed: true,
        landlock: Some(6),
        attack: None,
        gates: vec![gate],
        diff: manyworlds_api::result::DiffStatistics::default(),
        artifacts: Vec::new(),
        reasons: Vec::new(),
    };
    StageReport { result: Some(result), ..StageReport::done() }
}

/// The kubelet neither goes on after such an init container nor ends the pod.
#[test]
fn a_killed_process_in_a_stage_that_ended_well_ends_the_attempt_and_its_pod() {
    let mut pod = pod();
    pod.stages.set("work", ended_with(0, "OOMKilled", &StageReport::done().to_message().unwrap()));
    let AttemptState::Ended(end) = look(&pod, 3) else { panic!("the attempt goes on") };
    let failure = end.failure.unwrap();
    assert_eq!((failure.class, failure.reason), (FailureClass::Worker, Reason::OutOfMemory));
    assert_eq!(end.remains, Remains::Pod);
    // After the last container nothing has to go on.
    pod.stages.set("work", ended_with(0, "Completed", ""));
    pod.stages.set("collect", ended_with(0, "OOMKilled", &collection_message()));
    let AttemptState::Ended(end) = look(&pod, 3) else { panic!("the attempt goes on") };
    assert!(end.failure.is_none() && end.collection.is_some());
}

/// W14: a pod in which a worker has run leaves no result, whatever it says.
#[test]
fn each_role_is_believed_what_its_last_stage_leaves_and_nothing_else() {
    let mut worked = pod();
    worked.stages.set("collect", ended_with(0, "Completed", &result_message()));
    assert_eq!(failure(look(&worked, 3)), (FailureClass::Evaluation, Reason::ResultUnreadable));
    let mut judged = judging();
    judged.stages.set("judge", ended_with(0, "Completed", &collection_message()));
    assert_eq!(failure(look(&judged, 3)), (FailureClass::Evaluation, Reason::ResultUnreadable));
    let both = StageReport { collection: Some(Collection::default()), ..report_with_result() };
    for (mut pod, stage) in [(pod(), "collect"), (judging(), "judge")] {
        let both = StageReport { base_commit: Some("b".repeat(40)), ..both.clone() };
        pod.stages.set(stage, ended_with(0, "Completed", &both.to_message().unwrap()));
        let AttemptState::Ended(end) = look(&pod, 3) else { panic!("the attempt goes on") };
        assert_eq!((end.collection.is_some(), end.result.is_some()), (stage == "collect", stage == "judge"));
    }
}

#[test]
fn what_is_stored_without_a_base_cannot_be_judged() {
    let without = StageReport { collection: Some(Collection::default()), ..StageReport::done() };
    let mut pod = pod();
    pod.stages.set("collect", ended_with(0, "Completed", &without.to_message().unwrap()));
    assert_eq!(failure(look(&pod, 3)), (FailureClass::Evaluation, Reason::ResultUnreadable));
}

#[test]
fn what_ends_a_container_is_classed_by_whose_it_is() {
    let report = |class, reason| StageReport::failed(class, reason, "because").to_message().unwrap();
    for (stage, state, expected) in [
        ("prepare", ended_with(1, "Error", ""), (FailureClass::Infrastructure, Reason::ResultUnreadable)),
        ("work", ended_with(1, "Error", "no json"), (FailureClass::Worker, Reason::ResultUnreadable)),
        ("collect", ended_with(1, "Error", ""), (FailureClass::Evaluation, Reason::ResultUnreadable)),
        ("prepare", ended_with(137, "OOMKilled", ""), (FailureClass::Infrastructure, Reason::OutOfMemory)),
        ("work", ended_with(137, "OOMKilled", ""), (FailureClass::Worker, Reason::OutOfMemory)),
        ("work", ended_with(128, "StartError", "no such file"), (FailureClass::Spec, Reason::ContainerCreationFailed)),
        (
            "prepare",
            ended_with(10, "Error", &report(FailureClass::Spec, Reason::SecretMissing)),
            (FailureClass::Spec, Reason::SecretMissing),
        ),
        // A pod that was told to end, and not by us: somebody deleted it.
        (
            "work",
            ended_with(14, "Error", &report(FailureClass::Cancelled, Reason::Terminated)),
            (FailureClass::Infrastructure, Reason::PodDeleted),
        ),
    ] {
        let mut pod = pod();
        pod.phase = PodPhase::Failed;
        pod.stages.set(stage, state);
        assert_eq!(failure(look(&pod, 3)), expected, "{stage}");
    }
}

#[test]
fn a_word_that_is_none_of_ours_does_not_become_a_reason() {
    let message = r#"{"version":1,"failure":{"class":"Worker","reason":"not a reason!","message":"x"}}"#;
    let mut pod = pod();
    pod.stages.set("work", ended_with(12, "Error", message));
    assert_eq!(failure(look(&pod, 3)), (FailureClass::Worker, Reason::Unexpected));
}

#[test]
fn a_result_outlives_eviction_loss_and_deletion() {
    let mut pod = judging();
    pod.stages.set("judge", ended_with(0, "Completed", &result_message()));
    pod.reason = Some("Evicted".to_owned());
    pod.presence = Presence::Gone;
    match observe(&pod, NodeState::Lost, &settings(), at(3)) {
        AttemptState::Ended(end) => assert!(end.failure.is_none() && end.result.is_some()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_kubelet_ends_is_infrastructure() {
    for (reason, expected) in
        [("Evicted", Reason::Evicted), ("DeadlineExceeded", Reason::Overdue), ("NodeShutdown", Reason::NodeLost)]
    {
        let pod = OrderPod { phase: PodPhase::Failed, reason: Some(reason.to_owned()), ..pod() };
        assert_eq!(failure(look(&pod, 1)), (FailureClass::Infrastructure, expected));
    }
}

#[test]
fn a_world_that_fills_its_own_disk_is_to_blame_and_a_full_node_is_not() {
    let said = "Usage of EmptyDir volume \"work\" exceeds the limit \"1Gi\".";
    for (message, stage, expected) in [
        (said, StageState::Running { since: None }, FailureClass::Worker),
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
            waiting("x"),
            FailureClass::Worker,
        ),
        (said, StageState::Pending, FailureClass::Infrastructure),
        ("The node was low on resource: memory.", StageState::Running { since: None }, FailureClass::Infrastructure),
    ] {
        let mut pod = pod();
        pod.reason = Some("Evicted".to_owned());
        pod.message = Some(message.to_owned());
        pod.stages.set("work", stage);
        assert_eq!(failure(look(&pod, 1)), (expected, Reason::Evicted), "{message}");
    }
}

#[test]
fn trouble_is_told_at_once_and_ends_the_attempt_in_time() {
    let mut no_image = pod();
    no_image.stages.set("prepare", waiting("ImagePullBackOff"));
    let mut no_room = pod();
    no_room.node = None;
    no_room.unschedulable = Some("0/1 nodes are available".to_owned());
    for (pod, reason) in [(no_image, Reason::ImagePullFailed), (no_room, Reason::Unschedulable)] {
        match look(&pod, 1) {
            AttemptState::Active(active) => {
                assert_eq!(active.trouble.unwrap().reason, reason);
                assert_eq!(active.give_up, Some(at(100)));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(failure(look(&pod, 100)), (FailureClass::Infrastructure, reason));
    }
}

#[test]
fn the_image_of_a_later_container_counts_from_the_end_of_the_one_before() {
    let mut pod = pod();
    pod.stages.set("prepare", ended_with(0, "Completed", ""));
    pod.stages.set("work", waiting("ErrImagePull"));
    match look(&pod, 101) {
        AttemptState::Active(active) => assert_eq!(active.give_up, Some(at(102))),
        other => panic!("{other:?}"),
    }
    assert_eq!(failure(look(&pod, 102)), (FailureClass::Infrastructure, Reason::ImagePullFailed));
    pod.stages.set("work", waiting("InvalidImageName"));
    assert_eq!(failure(look(&pod, 3)), (FailureClass::Spec, Reason::ImagePullFailed));
}

#[test]
fn a_pod_that_starts_slowly_without_trouble_has_more_time() {
    assert!(matches!(look(&pod(), 499), AttemptState::Active(_)));
    assert_eq!(failure(look(&pod(), 500)), (FailureClass::Infrastructure, Reason::Starting));
}
