//! Fallbacks: what an order tries when too few Worlds are eligible (W5).

use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::{
    AcceptPartialSuccess, BudgetExceeded, Fallback, RetryWithLowerTemperature, Skip, SwitchModel, WorkOrderSpec,
};
use manyworlds_api::world::WorldStage;

use super::model::{Model, events, specification};
use super::{pods, started, truth};
use crate::plan::Effect;
use crate::{Exhausted, ModelUse};

fn accept(min_worlds: i32) -> Fallback {
    Fallback { accept_partial_success: Some(AcceptPartialSuccess { min_worlds }), ..Fallback::default() }
}

fn lower(reduction: f64) -> Fallback {
    Fallback { retry_with_lower_temperature: Some(RetryWithLowerTemperature { reduction }), ..Fallback::default() }
}

fn switch(model: &str) -> Fallback {
    Fallback { switch_model: Some(SwitchModel { model: model.to_owned() }), ..Fallback::default() }
}

fn skip() -> Fallback {
    Fallback { skip: Some(Skip {}), ..Fallback::default() }
}

fn asking(min: i32, fallbacks: Vec<Fallback>) -> WorkOrderSpec {
    let mut spec = specification(&["alpha", "beta"]);
    spec.worlds.min = min;
    spec.worker.model = Some("small".to_owned());
    spec.worlds.variants[0].temperature = Some(0.7);
    spec.retry.max_attempts = 1;
    spec.fallbacks = fallbacks;
    spec
}

fn runs_with(model: &Model, world: &str) -> (Option<String>, Option<f64>) {
    let world = &model.worlds[world];
    (world.model().map(str::to_owned), world.temperature())
}

#[test]
fn fewer_results_are_accepted_where_a_fallback_says_so() {
    let mut model = started(asking(2, vec![accept(1)]), 2);
    model.scores("fix-alpha-1", 90, 1);
    model.scores("fix-beta-1", 10, 1);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("True", "PartialSuccess"));
    assert_eq!(model.order.status.as_ref().unwrap().winner.as_deref(), Some("alpha"));
    assert!(model.message().contains("worlds.min asks for 2, and acceptPartialSuccess takes 1"), "{}", model.message());
}

#[test]
fn failed_worlds_run_again_at_a_lower_temperature_and_the_others_keep_what_they_have() {
    let mut model = started(asking(2, vec![lower(0.2)]), 2);
    model.scores("fix-alpha-1", 10, 1);
    model.scores("fix-beta-1", 90, 1);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-beta-1", "fix-alpha-2"]);
    assert_eq!(runs_with(&model, "fix-alpha"), (Some("small".to_owned()), Some(0.5)));
    assert_eq!(runs_with(&model, "fix-beta"), (Some("small".to_owned()), None));
    let status = model.worlds["fix-alpha"].status.as_ref().unwrap();
    assert_eq!((status.score.clone(), status.eligible, status.counted_attempts), (None, None, 0));
    assert_eq!(model.condition("Finished"), truth("False", "InProgress"));
    let told: Vec<_> = model.events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(told, ["WorldsStarted", "FallbackStarted"]);
    model.scores("fix-alpha-2", 80, 1);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("True", "HighestScore"));
    assert_eq!(model.order.status.as_ref().unwrap().winner.as_deref(), Some("beta"));
}

#[test]
fn a_chain_is_tried_to_its_end_and_the_order_then_says_so() {
    let mut model = started(asking(1, vec![lower(0.2), switch("strong")]), 2);
    for (attempt, with) in [(1, ("small", Some(0.7))), (2, ("small", Some(0.5))), (3, ("strong", Some(0.5)))] {
        assert_eq!(runs_with(&model, "fix-alpha"), (Some(with.0.to_owned()), with.1));
        model.fails(&format!("fix-alpha-{attempt}"), FailureClass::Worker, "it cannot be done");
        model.fails(&format!("fix-beta-{attempt}"), FailureClass::Worker, "nor here");
        model.settle();
    }
    assert_eq!(model.condition("Succeeded"), truth("False", "NoEligibleWorld"));
    assert_eq!(model.created_pods.len(), 6);
}

#[test]
fn an_order_that_may_be_skipped_ends_without_a_winner_and_is_no_failure() {
    let mut model = started(asking(1, vec![skip(), switch("strong")]), 2);
    model.scores("fix-alpha-1", 10, 1);
    model.scores("fix-beta-1", 10, 1);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("True", "Skipped"));
    assert_eq!(model.condition("WinnerSelected"), truth("False", "Skipped"));
    assert_eq!(model.order.status.as_ref().unwrap().winner, None);
    assert_eq!(pods(&model).len(), 2);
}

#[test]
fn worlds_that_a_crash_left_behind_follow() {
    let mut model = started(asking(1, vec![switch("strong")]), 2);
    model.scores("fix-alpha-1", 10, 1);
    model.scores("fix-beta-1", 10, 1);
    model.settle_until(|plan| events(plan).any(|event| event.reason.as_str() == "FallbackStarted"));
    // Of its two writes the first alone was made.
    let mut plan = model.plan();
    plan.effects.retain(|effect| matches!(effect, Effect::PatchWorld(patch) if patch.world.name() == "fix-alpha"));
    plan.status = None;
    model.carry_out(&plan);
    model.settle();
    assert_eq!(runs_with(&model, "fix-beta").0.as_deref(), Some("strong"));
    assert_eq!(pods(&model)[2..], ["fix-alpha-2", "fix-beta-2"]);
}

#[test]
fn a_world_that_was_deleted_meanwhile_and_ends_last_follows_too() {
    let mut model = started(asking(1, vec![switch("strong")]), 2);
    model.scores("fix-alpha-1", 10, 1);
    model.scores("fix-beta-1", 10, 1);
    model.settle();
    assert_eq!(pods(&model)[2..], ["fix-alpha-2", "fix-beta-2"]);
    // Somebody deletes a World, its pods go with it, and it is opened anew as its variant has it.
    model.worlds.remove("fix-beta");
    model.pods.retain(|name, _| !name.starts_with("fix-beta"));
    model.settle();
    model.scores("fix-alpha-2", 10, 1);
    model.settle();
    model.scores("fix-beta-1", 10, 1);
    model.settle();
    assert_eq!(runs_with(&model, "fix-beta").0.as_deref(), Some("strong"));
    assert_eq!(pods(&model)[4..], ["fix-beta-1", "fix-beta-2"]);
}

#[test]
fn nothing_runs_again_without_money_or_time() {
    let mut model = started(asking(1, vec![switch("strong")]), 2);
    model.scores("fix-alpha-1", 10, 1);
    model.scores("fix-beta-1", 10, 1);
    let what = "the order's budget of 5.00 dollars".to_owned();
    let exhausted = Exhausted { what, on_exceeded: BudgetExceeded::Stop };
    model.models = ModelUse { exhausted: Some(exhausted), ..ModelUse::default() };
    model.settle();
    assert_eq!(model.condition("Finished").0, "True");
    let status = model.worlds["fix-alpha"].status.as_ref().unwrap();
    assert_eq!((status.stage, pods(&model).len()), (Some(WorldStage::Scored), 2));
}
