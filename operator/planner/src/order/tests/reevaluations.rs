//! Worlds that a person has judged again: the work is kept, the score is made anew, and each request is served once (W3, W4).

use manyworlds_api::Duration;
use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::{
    Deadlines, EarlyTermination, Fallback, Reevaluation, ReevaluationStatus, SwitchModel,
};
use manyworlds_api::world::{MOST_REEVALUATIONS, WorldStage};
use manyworlds_api::{WorkOrderStatus, WorldStatus};

use super::model::{Model, specification};
use super::{evaluations, pods, started, truth};
use crate::Effect;
use crate::observation::StageState;
use crate::policy::retry::MOST_EVALUATIONS;

fn order_status(model: &Model) -> WorkOrderStatus {
    model.order.status.clone().unwrap()
}

fn status(model: &Model, world: &str) -> WorldStatus {
    model.worlds[&format!("fix-{world}")].status.clone().unwrap()
}

fn answer(model: &Model) -> ReevaluationStatus {
    order_status(model).reevaluation.unwrap()
}

fn told(model: &Model, reason: Reason) -> usize {
    model.events.iter().filter(|event| event.reason == reason).count()
}

fn ask(model: &mut Model, request: &str, world: Option<&str>) {
    let (request, world) = (request.to_owned(), world.map(str::to_owned));
    model.order.spec.reevaluate = Some(Reevaluation { request, world });
}

/// Asks, and looks at the order until the pods that are due are made.
fn asked(model: &mut Model, request: &str, world: Option<&str>) {
    ask(model, request, world);
    model.settle();
    model.pass(1);
    model.settle();
}

/// A finished order of two Worlds: alpha has failed its gate, and beta has won.
fn finished() -> Model {
    let mut model = started(specification(&["alpha", "beta"]), 2);
    model.scores("fix-alpha-1", 10, 1);
    model.scores("fix-beta-1", 80, 1);
    model.settle();
    assert_eq!(order_status(&model).winner.as_deref(), Some("beta"));
    model
}

/// W4: what was paid for is kept, and the order ranks and chooses anew.
#[test]
fn a_finished_order_judges_again_and_chooses_anew() {
    let mut model = finished();
    let before = status(&model, "alpha");
    model.pass(3600);
    asked(&mut model, "one", Some("alpha"));
    assert_eq!((model.is_finished(), order_status(&model).winner), (false, None));
    assert!(order_status(&model).conditions.iter().all(|condition| condition.type_ != "WinnerSelected"));
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1", "fix-beta-1-e1", "fix-alpha-1-e2"]);
    assert_eq!((answer(&model).worlds, told(&model, Reason::ReevaluationStarted)), (vec!["alpha".to_owned()], 1));
    assert_eq!(status(&model, "alpha").score, None, "it is made again");
    model.judges("fix-alpha-1-e2", 100, 1);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("True", "HighestScore"));
    assert_eq!(order_status(&model).winner.as_deref(), Some("alpha"));
    let after = status(&model, "alpha");
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-beta-1"], "no worker ran again");
    assert_eq!((after.attempt_count, after.counted_attempts), (before.attempt_count, before.counted_attempts));
    assert_eq!((after.attempts.len(), after.artifacts, after.reasons), (1, before.artifacts, before.reasons));
    assert_eq!(after.attempts[0].message, "it took 2 evaluations");
    assert_eq!(status(&model, "beta").score.map(|score| score.total), Some(80), "the other one is as it was");
    assert_eq!(model.capacity.occupied(), 0);
}

#[test]
fn without_a_name_all_are_judged_again_that_have_a_change() {
    let mut model = started(specification(&["alpha", "beta"]), 2);
    model.scores("fix-alpha-1", 10, 1);
    for attempt in 1..=3 {
        model.fails(&format!("fix-beta-{attempt}"), FailureClass::Worker, "oops");
        model.settle();
        model.pass(5);
        model.settle();
    }
    assert!(model.is_finished());
    asked(&mut model, "one", None);
    assert_eq!(answer(&model).worlds, ["alpha"]);
    assert!(answer(&model).message.contains("World beta: it has no stored change"), "{}", answer(&model).message);
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1", "fix-alpha-1-e2"]);
}

#[test]
fn a_request_is_served_once_and_another_one_anew() {
    let mut model = finished();
    for (request, number) in [("one", 2), ("two", 3)] {
        asked(&mut model, request, Some("beta"));
        model.judges(&format!("fix-beta-1-e{number}"), 90, 1);
        model.settle();
        let writes = model.writes;
        model.pass(3600);
        model.settle();
        assert_eq!(model.writes, writes, "{request} is served");
    }
    assert_eq!(evaluations(&model)[2..], ["fix-beta-1-e2", "fix-beta-1-e3"]);
    assert_eq!(status(&model, "beta").reevaluation.unwrap().count, 2);
    assert_eq!(told(&model, Reason::ReevaluationStarted), 2);
}

/// Nothing is lost or done twice where the operator ends after it has written a World, and before the order.
#[test]
fn an_operator_that_ends_between_its_writes_serves_a_request_once() {
    for world in [None, Some("alpha")] {
        let mut model = finished();
        ask(&mut model, "one", world);
        let mut plan = model.plan();
        plan.status = None;
        plan.effects.truncate(1);
        assert!(matches!(plan.effects[..], [Effect::PatchWorld(_)]), "{:?}", plan.effects);
        model.carry_out(&plan);
        assert!(model.is_finished(), "the order does not say so yet");
        model.pass(1);
        model.settle();
        model.pass(1);
        model.settle();
        let judged: &[&str] = if world.is_none() { &["alpha", "beta"] } else { &["alpha"] };
        assert_eq!(answer(&model).worlds, judged);
        assert!(!model.is_finished());
        for world in judged {
            assert_eq!(status(&model, world).reevaluation.unwrap().count, 1);
            model.judges(&format!("fix-{world}-1-e2"), 90, 1);
        }
        model.settle();
        assert_eq!((evaluations(&model).len(), pods(&model).len()), (2 + judged.len(), 2));
        assert!(model.is_finished());
    }
}

/// Whoever takes the request back after that leaves no World that nobody ends.
#[test]
fn a_world_whose_request_was_taken_back_is_judged_all_the_same() {
    let mut model = finished();
    ask(&mut model, "one", Some("alpha"));
    let mut plan = model.plan();
    plan.status = None;
    model.carry_out(&plan);
    model.order.spec.reevaluate = None;
    model.pass(1);
    model.settle();
    model.judges("fix-alpha-1-e2", 100, 1);
    model.settle();
    assert_eq!((model.is_finished(), order_status(&model).winner.as_deref()), (true, Some("alpha")));
}

#[test]
fn what_has_no_change_or_does_not_exist_is_refused_and_the_order_stays_as_it_was() {
    let mut model = started(specification(&["alpha", "beta"]), 2);
    model.scores("fix-beta-1", 80, 1);
    for attempt in 1..=3 {
        model.fails(&format!("fix-alpha-{attempt}"), FailureClass::Worker, "oops");
        model.settle();
        model.pass(5);
        model.settle();
    }
    let before = order_status(&model);
    for (request, world, expected) in
        [("one", "alpha", "it has no stored change"), ("two", "omega", "it has alpha, beta")]
    {
        asked(&mut model, request, Some(world));
        let ReevaluationStatus { request: answered, worlds, message } = answer(&model);
        assert_eq!((answered.as_str(), worlds.len()), (request, 0));
        assert!(message.contains(expected), "{message}");
        assert_eq!(WorkOrderStatus { reevaluation: None, ..order_status(&model) }, before);
    }
    assert_eq!((told(&model, Reason::ReevaluationRefused), evaluations(&model).len()), (2, 1));
}

#[test]
fn an_order_that_could_not_go_on_is_not_judged_again() {
    let mut model = finished();
    model.order.spec.cancel = true;
    asked(&mut model, "one", None);
    assert!(answer(&model).message.contains("the order was cancelled"), "{}", answer(&model).message);
    assert!(model.is_finished());

    let mut model = started(specification(&["alpha", "beta"]), 2);
    model.scores("fix-alpha-1", 80, 1);
    model.settle();
    model.fails("fix-beta-1", FailureClass::Spec, "the repository has no revision nope");
    model.settle();
    asked(&mut model, "one", Some("alpha"));
    assert!(answer(&model).message.contains("World beta has failed the order"), "{}", answer(&model).message);
    assert_eq!(status(&model, "alpha").stage, Some(WorldStage::Scored), "its score is not lost");
}

/// The cluster's failures are followed as ever; whatever else happens, no worker runs again.
#[test]
fn a_request_has_as_many_evaluations_as_an_attempt_and_no_other_work() {
    let mut model = finished();
    asked(&mut model, "one", Some("alpha"));
    for number in 2..=MOST_EVALUATIONS + 1 {
        model.fails(&format!("fix-alpha-1-e{number}"), FailureClass::Infrastructure, "the node was lost");
        model.settle();
        model.pass(60);
        model.settle();
    }
    assert_eq!((pods(&model).len(), evaluations(&model).len()), (2, 7));
    assert_eq!((status(&model, "alpha").stage, model.is_finished()), (Some(WorldStage::Failed), true));
    assert_eq!(order_status(&model).winner.as_deref(), Some("beta"));
    asked(&mut model, "two", Some("alpha"));
    model.fails("fix-alpha-1-e7", FailureClass::Worker, "the change is refused");
    model.settle();
    model.pass(60);
    model.settle();
    assert_eq!((pods(&model).len(), status(&model, "alpha").attempt_count), (2, 1), "it is not worked anew");
    assert!(model.is_finished());
}

#[test]
fn the_requests_of_a_world_are_bounded() {
    let mut model = finished();
    for number in 1..=MOST_REEVALUATIONS {
        asked(&mut model, &format!("request {number}"), Some("beta"));
        model.judges(&format!("fix-beta-1-e{}", number + 1), 80, 1);
        model.settle();
    }
    asked(&mut model, "one more", Some("beta"));
    assert!(answer(&model).message.contains("judged again 18 times"), "{}", answer(&model).message);
    assert!(model.is_finished());
}

#[test]
fn a_world_is_judged_again_though_none_of_its_pods_is_left() {
    let mut model = finished();
    model.pods.clear();
    asked(&mut model, "one", Some("alpha"));
    let pod = evaluations(&model)[2].to_owned();
    assert_eq!(pod, "fix-alpha-1-e1", "the name is free");
    model.judges(&pod, 100, 1);
    model.settle();
    assert_eq!(order_status(&model).winner.as_deref(), Some("alpha"));
    assert_eq!(status(&model, "alpha").artifacts.len(), 1, "what is stored is still known");
    assert_eq!(pods(&model).len(), 2);
}

/// Neither its time nor its rules end an order that only judges again, and none of them begins other work.
#[test]
fn deadlines_early_ends_and_fallbacks_have_no_say() {
    let mut spec = specification(&["alpha", "beta"]);
    spec.deadlines = Some(Deadlines { start: None, active: Some(Duration::from_minutes(10)) });
    spec.early_termination = Some(EarlyTermination { score: Some(75), after_eligible: None });
    let switch = SwitchModel { model: "other".to_owned() };
    spec.fallbacks = vec![Fallback { switch_model: Some(switch), ..Fallback::default() }];
    let mut model = started(spec, 2);
    model.scores("fix-alpha-1", 10, 1);
    model.settle();
    model.scores("fix-beta-1", 80, 1);
    model.settle();
    model.pass(3600);
    asked(&mut model, "one", None);
    for pod in model.pods.values_mut().filter(|pod| pod.number == 2) {
        pod.stages.set("judge", StageState::Running { since: None });
    }
    model.pass(3600);
    model.settle();
    assert!(!model.is_finished());
    model.judges("fix-beta-1-e2", 20, 1);
    model.settle();
    assert!(!model.is_finished(), "alpha is still judged");
    model.judges("fix-alpha-1-e2", 20, 1);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("False", "NoEligibleWorld"));
    assert_eq!(pods(&model).len(), 2);
}

#[test]
fn a_world_that_is_judged_again_waits_for_a_slot_and_is_not_cut_by_a_better_one() {
    let mut spec = specification(&["alpha", "beta"]);
    spec.early_termination = Some(EarlyTermination { score: Some(75), after_eligible: None });
    let mut model = started(spec, 1);
    model.scores("fix-alpha-1", 10, 1);
    model.settle();
    asked(&mut model, "one", Some("alpha"));
    assert_eq!(evaluations(&model).len(), 1, "beta has the only slot");
    model.scores("fix-beta-1", 80, 1);
    model.settle();
    assert!(!model.is_finished());
    model.judges("fix-alpha-1-e2", 90, 1);
    model.settle();
    assert_eq!(order_status(&model).winner.as_deref(), Some("alpha"));
}

#[test]
fn a_suspended_order_judges_again_once_it_goes_on() {
    let mut model = finished();
    asked(&mut model, "one", Some("alpha"));
    model.order.spec.suspend = true;
    model.settle();
    assert_eq!((model.deleted_pods.len(), model.capacity.occupied()), (1, 0));
    model.order.spec.suspend = false;
    model.settle();
    model.judges("fix-alpha-1-e2", 100, 1);
    model.settle();
    assert_eq!((model.is_finished(), order_status(&model).winner.as_deref()), (true, Some("alpha")));
    assert_eq!(pods(&model).len(), 2);
}
