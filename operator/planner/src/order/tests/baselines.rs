//! The base of an order is judged once, before its Worlds are (W3, W4): what its gates cannot tell is known before it is paid for.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use manyworlds_api::labels;
use manyworlds_api::object::{Stored, WorldUid};
use manyworlds_api::result::{FailureClass, GateOutcome, WorkerReport};
use manyworlds_api::work_order::{
    BaselineState, BaselineStatus, BudgetExceeded, EvaluationNetwork, GateKind, ResourceAmounts, WorkOrderSpec,
};
use manyworlds_api::world::WorldStage;

use super::model::{Baselines, Model, specification};
use super::{FIVE, evaluations, pods, truth};
use crate::node_resources::Resources;
use crate::observation::StageState;
use crate::policy::retry::MOST_EVALUATIONS;
use crate::resources::{BaseEvaluation, Evaluation, Subject, baseline, evaluation, world};
use crate::{Exhausted, ModelUse, Settings};

const FIRST: &str = "fix-baseline-e1";

/// An order that has begun, whose base is judged as the test says.
fn started(spec: WorkOrderSpec, slots: u64) -> Model {
    let mut model = Model::new(spec, slots);
    model.baselines = Baselines::ByTest;
    model.settle();
    model
}

/// An order of one World whose worker is done.
fn worked() -> Model {
    let mut model = started(specification(&["alpha"]), 1);
    model.collects("fix-alpha-1");
    model.settle();
    model
}

fn said(model: &Model) -> Option<BaselineStatus> {
    model.order.status.as_ref().unwrap().baseline.clone()
}

/// W3: no World is judged before it is known what the gates give without its change, and one pod finds that out.
#[test]
fn the_base_is_judged_once_and_before_any_world_is() {
    let mut model = started(specification(&FIVE), 5);
    assert!(model.created_baselines.is_empty(), "nobody has stored the base yet");
    for pod in ["fix-alpha-1", "fix-beta-1"] {
        model.collects(pod);
        model.settle();
    }
    assert_eq!(model.created_baselines, [FIRST]);
    assert!(evaluations(&model).is_empty(), "{:?}", model.created_pods);
    let writes = model.writes;
    model.gives(FIRST, (GateOutcome::Partial, 40), 0, "1 of 3 tests failed");
    model.settle();
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1", "fix-beta-1-e1"]);
    assert_eq!(model.writes, writes + 3, "what was found is written at once, and once");
    let status = said(&model).unwrap();
    assert_eq!((status.state, status.gates[0].reason.as_str()), (BaselineState::Judged, "1 of 3 tests failed"));
    model.collects("fix-gamma-1");
    model.settle();
    assert_eq!((evaluations(&model).len(), model.created_baselines.len()), (3, 1));
}

#[test]
fn the_base_is_judged_while_the_worlds_work_where_a_slot_is_free() {
    let mut model = started(specification(&FIVE), 6);
    model.prepares("fix-alpha-1");
    model.settle();
    assert_eq!((model.created_baselines.len(), model.capacity.occupied()), (1, 6));
    model.judges(FIRST, 40, 0);
    assert_eq!(model.capacity.occupied(), 5);
}

/// W7: an order whose Worlds hold every slot neither waits for ever nor says that its Worlds wait for room.
#[test]
fn without_a_free_slot_the_base_is_judged_in_the_slot_of_the_first_world_that_waits_for_it() {
    let mut model = started(specification(&FIVE), 5);
    model.prepares("fix-alpha-1");
    model.settle();
    assert!(model.created_baselines.is_empty());
    assert!(!model.message().contains("queue"), "{}", model.message());
    model.collects("fix-beta-1");
    model.settle();
    assert_eq!(model.created_baselines, [FIRST]);
    model.judges(FIRST, 40, 0);
    model.settle();
    assert_eq!((evaluations(&model), model.capacity.occupied()), (vec!["fix-beta-1-e1"], 5));
}

#[test]
fn an_order_that_runs_no_program_has_no_baseline() {
    let mut spec = specification(&["alpha"]);
    let gate = &mut spec.evaluation.gates[0];
    (gate.kind, gate.command) = (GateKind::Size, Vec::new());
    let mut model = started(spec, 1);
    model.scores("fix-alpha-1", 100, 1);
    model.settle();
    assert!(model.is_finished());
    assert_eq!((model.created_baselines.len(), model.writes, said(&model)), (0, 6, None));
}

/// W3: a gate without its program ends the order before a World is judged by it.
#[test]
fn a_gate_that_cannot_run_at_the_base_ends_the_order() {
    let mut model = started(specification(&FIVE), 6);
    model.prepares("fix-alpha-1");
    model.settle();
    model.gives(FIRST, (GateOutcome::CannotRun, 0), 0, "there is no program check");
    model.settle();
    assert_eq!(model.condition("Finished"), truth("True", "GateCannotRun"));
    for words in ["gate test", "there is no program check", "evaluation.image", "the gate's command"] {
        assert!(model.message().contains(words), "{}", model.message());
    }
    assert_eq!((model.deleted_pods.len(), model.capacity.occupied()), (5, 0), "no worker works for nothing");
    assert_eq!(model.worlds["fix-alpha"].status.as_ref().unwrap().stage, Some(WorldStage::Cut));
    assert_eq!(said(&model).unwrap().gates[0].outcome, GateOutcome::CannotRun);
}

/// W4: what the cluster does to the pod is tried again, and not for ever.
#[test]
fn a_base_that_cannot_be_judged_is_tried_again_and_ends_the_order_in_the_end() {
    let mut model = worked();
    let waits = [1, 2, 4, 8];
    for (number, wait) in (1..).zip(waits) {
        model.fails(&format!("fix-baseline-e{number}"), FailureClass::Infrastructure, "the node was lost");
        let next = model.settle();
        assert!(next.is_some_and(|next| next <= model.now + SignedDuration::from_secs(wait)), "{next:?}");
        model.pass(wait - 1);
        model.settle();
        assert_eq!(model.created_baselines.len(), number, "the waits are those of attempts");
        model.pass(1);
        model.settle();
        assert_eq!(model.created_baselines.len(), number + 1);
    }
    assert!(!model.is_finished());
    model.fails(&format!("fix-baseline-e{MOST_EVALUATIONS}"), FailureClass::Infrastructure, "the node was lost");
    model.settle();
    assert_eq!(model.condition("Finished"), truth("True", "BaselineFailed"));
    for words in ["in 5 tries", "the node was lost", "make the order again"] {
        assert!(model.message().contains(words), "{}", model.message());
    }
    assert_eq!((said(&model).unwrap().state, evaluations(&model).len()), (BaselineState::Failed, 0));
}

#[test]
fn a_base_that_was_judged_in_vain_is_said_and_judged_in_the_end() {
    let mut model = worked();
    model.vanishes(FIRST);
    model.settle();
    model.pass(1);
    model.settle();
    assert_eq!(model.created_baselines, [FIRST, "fix-baseline-e2"]);
    model.judges("fix-baseline-e2", 40, 0);
    model.settle();
    model.judges("fix-alpha-1-e1", 90, 1);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("True", "HighestScore"));
    assert_eq!(pods(&model), ["fix-alpha-1"]);
}

/// W4: a fault of the order is nobody else's, and is not tried again.
#[test]
fn a_base_that_is_not_as_it_should_be_ends_the_order_at_once() {
    let mut model = worked();
    model.fails(FIRST, FailureClass::Spec, "the bundle does not hold the pinned commit");
    model.settle();
    assert_eq!(model.condition("Finished"), truth("True", "BaselineFailed"));
    assert!(model.message().contains("the bundle does not hold"), "{}", model.message());
}

#[test]
fn what_is_recorded_of_the_base_stays_though_its_pod_is_gone() {
    let mut model = worked();
    model.judges(FIRST, 40, 0);
    model.settle();
    // Somebody deleted the pod, and the operator was away.
    model.pods.remove(FIRST);
    model.settle();
    model.judges("fix-alpha-1-e1", 90, 1);
    model.settle();
    assert_eq!((model.created_baselines.len(), model.is_finished()), (1, true));
    assert_eq!(said(&model).unwrap().state, BaselineState::Judged);
}

/// W4: a suspension costs no try, however often it comes.
#[test]
fn a_suspended_order_judges_its_base_once_it_goes_on() {
    let mut model = worked();
    for _ in 0..=MOST_EVALUATIONS {
        model.order.spec.suspend = true;
        model.settle();
        assert_eq!(model.deleted_pods.last().map(String::as_str), Some(FIRST));
        assert_eq!(model.capacity.occupied(), 0, "a suspended order holds nothing");
        model.pass(3600);
        model.settle();
        model.order.spec.suspend = false;
        model.settle();
    }
    assert!(model.created_baselines.iter().all(|name| name == FIRST), "{:?}", model.created_baselines);
    assert!(evaluations(&model).is_empty());
    model.judges(FIRST, 40, 0);
    model.settle();
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1"]);
}

/// W16: a gate calls no model, so the base is judged whether or not there is money.
#[test]
fn the_base_is_judged_while_a_budget_is_used_up() {
    let mut model = started(specification(&["alpha", "beta"]), 2);
    model.collects("fix-alpha-1");
    let what = "the order's budget of 5.00 dollars".to_owned();
    let exhausted = Exhausted { what, on_exceeded: BudgetExceeded::Pause };
    model.models = ModelUse { exhausted: Some(exhausted), ..ModelUse::default() };
    model.settle();
    assert_eq!((model.created_baselines.len(), model.deleted_pods.as_slice()), (1, &["fix-beta-1".to_owned()][..]));
    model.settle();
    assert_eq!(model.deleted_pods.len(), 1, "the pod that judges the base stays");
    model.judges(FIRST, 40, 0);
    model.settle();
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1"]);
}

#[test]
fn an_order_that_ends_takes_the_pod_that_judges_its_base_with_it() {
    let mut model = worked();
    model.order.spec.cancel = true;
    model.settle();
    assert_eq!((model.deleted_pods.as_slice(), said(&model)), (&[FIRST.to_owned()][..], None));
}

#[test]
fn a_pod_that_cannot_start_is_said_on_the_order_and_removed() {
    let mut model = worked();
    let stuck = StageState::Waiting { reason: "ErrImagePull".to_owned(), message: "no such image".to_owned() };
    model.pods.get_mut(FIRST).unwrap().stages.set("judge", stuck);
    model.settle();
    assert_eq!(model.condition("Stalled"), truth("True", "ImagePullFailed"));
    assert!(
        model.message().contains("at the base") && model.message().contains("no such image"),
        "{}",
        model.message()
    );
    model.pass(120);
    model.settle();
    assert_eq!(model.deleted_pods, [FIRST]);
    assert_eq!(model.created_baselines, [FIRST, "fix-baseline-e2"]);
}

/// Returns the second pod that judges the base of an order, and one that judges its World.
fn both(spec: WorkOrderSpec) -> [Pod; 2] {
    let settings = Settings::new("runner".to_owned(), "http://operator".to_owned());
    let order = Stored::parse(Model::new(spec, 1).order).unwrap();
    let made = world(&order, &order.spec.worlds.variants[0], 0, Resources::default(), &settings);
    let worker = WorkerReport { exit_code: Some(0), timed_out: false, milliseconds: 1, summary: String::new() };
    let subject = Subject { base_commit: "b".repeat(40), worker: Some(worker) };
    let which = Evaluation { attempt: 1, number: 2, subject: &subject };
    let uid: WorldUid = "w".parse().unwrap();
    let resources: &ResourceAmounts = &made.spec.blueprint.resources;
    let base = BaseEvaluation { number: 2, base_commit: &subject.base_commit, resources };
    [
        baseline(&order, &base, &settings).unwrap().owned_by(order.uid()),
        evaluation(&order, &made, &which, &settings).owned_by(&uid),
    ]
}

/// Returns a pod without the variables of its containers, and those of each container.
fn apart(pod: &Pod) -> (PodSpec, Vec<Vec<(String, String)>>) {
    let mut spec = pod.spec.clone().unwrap();
    let mut variables = Vec::new();
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        let all = container.env.take().unwrap_or_default();
        variables.push(all.into_iter().map(|one| (one.name, one.value.unwrap_or_default())).collect());
    }
    (spec, variables)
}

/// W14: the base is judged as Worlds are, in the same image, with the same folders and under the same confinement.
#[test]
fn the_pod_that_judges_the_base_is_as_one_that_judges_a_world() {
    let mut spec = specification(&["alpha", "beta"]);
    spec.evaluation.image = Some("gates".to_owned());
    let [base, world] = both(spec.clone()).map(|pod| apart(&pod));
    assert_eq!(base.0, world.0);
    let has = |variables: &[(String, String)], name: &str| -> Option<String> {
        variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let [checkout, judge] = [&base.1[0], &base.1[1]];
    for variables in [checkout, judge] {
        assert_eq!(has(variables, labels::ENV_SUBJECT).as_deref(), Some(labels::SUBJECT_BASE));
        assert_eq!(has(variables, labels::ENV_WORLD).as_deref(), Some("alpha"));
        assert_eq!(has(variables, labels::ENV_ATTEMPT).as_deref(), Some("2"));
        assert_eq!(has(variables, labels::ENV_WORKER_REPORT), None);
    }
    assert_eq!(has(checkout, labels::ENV_BASE_COMMIT), Some("b".repeat(40)));
    assert!(has(checkout, labels::ENV_ORDER).unwrap().contains("\"name\":\"alpha\""));
    assert_eq!(has(judge, labels::ENV_DISK_BYTES), has(&world.1[1], labels::ENV_DISK_BYTES));
    assert!(world.1.iter().all(|variables| has(variables, labels::ENV_SUBJECT).is_none()));

    for (network, label) in
        [(EvaluationNetwork::None, Some(labels::NETWORK_OF_EVALUATIONS)), (EvaluationNetwork::Inherit, None)]
    {
        spec.evaluation.network = network;
        let [base, _] = both(spec.clone());
        assert_eq!(base.metadata.name.as_deref(), Some("fix-baseline-e2"));
        let has = |key: &str| base.metadata.labels.as_ref().unwrap().get(key).map(String::as_str);
        assert_eq!((has(labels::ROLE), has(labels::EVALUATION)), (Some("baseline"), Some("2")));
        assert_eq!((has(labels::WORLD), has(labels::NETWORK)), (None, label));
        let owner = &base.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.kind.as_str(), owner.name.as_str(), owner.uid.as_str()), ("WorkOrder", "fix", "order-1"));
    }
}
