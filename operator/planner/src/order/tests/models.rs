//! Orders whose Worlds call models (W16): budgets that pause and stop, models that cannot be called, what is shown of cost.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::PodSpec;
use manyworlds_api::conditions::Reason;
use manyworlds_api::object::{Stored, WorldUid};
use manyworlds_api::work_order::{BudgetExceeded, Usage, WorkOrderSpec};
use manyworlds_api::world::WorldStage;
use manyworlds_api::{Duration, WorkOrder, World, labels};

use super::model::{Model, specification};
use super::{evaluations, pods, started, truth};
use crate::node_resources::Resources;
use crate::observation::{PodPhase, StageState};
use crate::policy::support::models;
use crate::resources::{pod, world};
use crate::{Exhausted, ModelUse, Settings};
use manyworlds_metering::waits::Waits;

fn exhausted(on_exceeded: BudgetExceeded) -> ModelUse {
    let what = "the order's budget of 5.00 dollars".to_owned();
    ModelUse { exhausted: Some(Exhausted { what, on_exceeded }), ..ModelUse::default() }
}

fn usage(cost: &str) -> Usage {
    Usage { cost: cost.parse().unwrap(), input_tokens: 100, output_tokens: 10, cached_tokens: 1, calls: 2 }
}

fn with_model() -> WorkOrderSpec {
    let mut spec = specification(&["alpha", "beta"]);
    spec.worker.model = Some("m".to_owned());
    spec
}

#[test]
fn a_used_up_budget_pauses_the_order_which_goes_on_by_itself() {
    let mut model = started(with_model(), 2);
    model.models = exhausted(BudgetExceeded::Pause);
    let next = model.settle();
    assert_eq!(model.condition("Admitted"), truth("False", "BudgetExhausted"));
    assert_eq!(model.deleted_pods.len(), 2);
    assert!(next.is_some(), "nobody tells when a budget is raised");
    let world = &model.worlds["fix-alpha"];
    let status = world.status.as_ref().unwrap();
    assert_eq!((status.stage, status.counted_attempts), (Some(WorldStage::Suspended), 0));
    model.models = ModelUse::default();
    model.settle();
    assert_eq!(model.condition("Admitted"), truth("True", "Admitted"));
    assert_eq!(pods(&model)[2..], ["fix-alpha-2", "fix-beta-2"]);
}

#[test]
fn a_world_that_is_being_judged_is_not_paused() {
    let mut model = started(with_model(), 2);
    model.collects("fix-alpha-1");
    model.settle();
    let pod = model.pods.get_mut("fix-alpha-1-e1").unwrap();
    pod.stages.set("judge", StageState::Running { since: None });
    model.models = exhausted(BudgetExceeded::Pause);
    model.settle();
    assert_eq!(model.deleted_pods, ["fix-beta-1"]);
}

/// W16: a gate calls no model, so a change that is there is judged whether or not there is money.
#[test]
fn a_world_whose_worker_is_done_is_judged_while_a_budget_is_used_up() {
    let mut model = started(with_model(), 2);
    let pod = model.pods.get_mut("fix-alpha-1").unwrap();
    pod.stages.set("collect", StageState::Running { since: None });
    model.models = exhausted(BudgetExceeded::Pause);
    model.settle();
    assert_eq!(model.deleted_pods, ["fix-beta-1"], "what the worker left is being stored");
    model.collects("fix-alpha-1");
    model.settle();
    assert_eq!(evaluations(&model), ["fix-alpha-1-e1"]);
    model.judges("fix-alpha-1-e1", 90, 1);
    model.settle();
    assert_eq!(model.worlds["fix-alpha"].status.as_ref().unwrap().stage, Some(WorldStage::Scored));
    assert_eq!(model.condition("Admitted"), truth("False", "BudgetExhausted"), "the other World waits");
}

#[test]
fn a_used_up_budget_ends_the_order_where_it_says_so_and_the_best_so_far_wins() {
    let mut spec = with_model();
    spec.worlds.min = 1;
    let mut model = started(spec.clone(), 2);
    model.scores("fix-alpha-1", 90, 10);
    model.settle();
    model.models = exhausted(BudgetExceeded::Stop);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("True", "HighestScore"));
    let mut none = started(spec, 2);
    none.models = exhausted(BudgetExceeded::Stop);
    none.settle();
    assert_eq!(none.condition("Succeeded"), truth("False", "BudgetExhausted"));
    assert!(none.order.status.unwrap().message.unwrap().contains("the budget is used up"));
}

#[test]
fn a_choice_of_models_is_left_to_the_coder_alone() {
    let mut spec = with_model();
    spec.worlds.variants[0].model = Some("auto".to_owned());
    let refused = started(spec.clone(), 2);
    assert_eq!(refused.condition("Succeeded"), truth("False", "InvalidSpecification"));
    assert!(refused.message().contains("the model \"auto\" is for the plugin coder"), "{}", refused.message());
    spec.worker.plugin = "coder".to_owned();
    assert_eq!(started(spec, 2).condition("Admitted"), truth("True", "Admitted"));
}

#[test]
fn a_model_that_keeps_failing_is_shown_on_the_order_until_it_answers() {
    let mut model = started(with_model(), 2);
    let said = "the model m of the Provider p keeps failing".to_owned();
    model.models = ModelUse { unavailable: Some(said.clone()), ..ModelUse::default() };
    assert!(model.settle().is_some(), "nobody tells when it may be tried again");
    assert_eq!(warned(&model, Reason::ProviderUnavailable), 1);
    let status = model.order.status.clone().unwrap();
    assert_eq!((status.summary.as_deref(), status.message), (Some("ProviderUnavailable"), Some(said)));
    assert!(model.deleted_pods.is_empty(), "its Worlds wait");
    model.models = ModelUse::default();
    model.settle();
    assert_eq!(model.order.status.clone().unwrap().summary.as_deref(), Some("Running"));
}

fn warned(model: &Model, reason: Reason) -> usize {
    model.events.iter().filter(|event| event.reason == reason).count()
}

/// W9, R12: no room within a Provider's limits is said on the order, with the Provider, since when and what to do.
#[test]
fn an_order_says_that_its_calls_wait_for_room_within_a_providers_limits() {
    let mut model = started(with_model(), 2);
    let begun = model.now;
    let mut waits = Waits::default();
    waits.start(begun);
    let waiting = |waits: &Waits| {
        let all = BTreeMap::from([("openai".to_owned(), waits.clone())]);
        ModelUse { waits: all, ..ModelUse::default() }
    };
    model.models = waiting(&waits);
    model.settle();
    assert_eq!(model.order.status.clone().unwrap().summary.as_deref(), Some("Running"), "it is but a moment");
    model.now = begun + SignedDuration::from_secs(5);
    assert!(model.settle().is_some(), "nobody tells when there is room again");
    assert_eq!(model.condition("Succeeded"), truth("Unknown", "RateLimited"));
    let status = model.order.status.clone().unwrap();
    assert_eq!(status.summary.as_deref(), Some("RateLimited"));
    let said = status.message.unwrap();
    for part in ["the Provider openai", "since 1970-01-12T13:46:", "spec.limits", "worlds.parallelism"] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    assert!(model.deleted_pods.is_empty(), "its Worlds wait");
    model.models.unavailable = Some("the model keeps failing".to_owned());
    model.settle();
    assert_eq!(model.order.status.clone().unwrap().summary.as_deref(), Some("ProviderUnavailable"), "the worse one");
    waits.end(begun, model.now);
    model.models = waiting(&waits);
    model.now += SignedDuration::from_secs(31);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("Unknown", "InProgress"));
    assert_eq!(model.order.status.clone().unwrap().summary.as_deref(), Some("Running"));
}

/// A call waits for most of the time, for ten minutes: what is said, and so written, stays what it is.
#[test]
fn an_order_that_waits_again_and_again_is_written_once() {
    let mut model = started(with_model(), 2);
    for pod in model.pods.values_mut() {
        pod.phase = PodPhase::Running;
        pod.stages.set("work", StageState::Running { since: Some(model.now) });
    }
    let mut waits = Waits::default();
    let mut writes = None;
    for second in 0..600 {
        match second % 20 {
            0 => waits.start(model.now),
            19 => waits.end(model.now - SignedDuration::from_secs(19), model.now),
            _ => {}
        }
        model.models.waits = BTreeMap::from([("openai".to_owned(), waits.clone())]);
        model.settle();
        model.now += SignedDuration::from_secs(1);
        if second == 10 {
            writes = Some(model.writes);
        }
    }
    assert_eq!(Some(model.writes), writes);
    assert_eq!(warned(&model, Reason::RateLimited), 1);
}

#[test]
fn an_order_whose_model_cannot_be_called_waits_and_says_why() {
    let mut model = Model::new(with_model(), 2);
    let problem = "no Provider in this namespace has the model \"m\"".to_owned();
    model.models = ModelUse { problem: Some(problem.clone()), ..ModelUse::default() };
    assert!(model.settle().is_some());
    assert!(pods(&model).is_empty());
    assert_eq!(model.condition("Admitted"), truth("False", "ModelUnavailable"));
    assert_eq!(model.condition("Stalled"), truth("True", "ModelUnavailable"));
    assert_eq!(model.order.status.as_ref().unwrap().message.as_ref(), Some(&problem));
    model.models = ModelUse::default();
    model.settle();
    assert_eq!(model.condition("Stalled"), truth("False", "InProgress"));
    assert_eq!(pods(&model).len(), 2);
}

/// W16: what a Budget holds does not get out of it by other labels.
#[test]
fn an_order_that_a_budget_has_to_hold_waits_for_one_and_notes_what_has_held_it() {
    let mut model = Model::new(with_model(), 2);
    let said = "no Budget holds the order, and one has to".to_owned();
    model.models = ModelUse { unbudgeted: Some(said.clone()), ..ModelUse::default() };
    assert!(model.settle().is_some());
    assert!(pods(&model).is_empty());
    assert_eq!(model.condition("Admitted"), truth("False", "BudgetRequired"));
    let status = |model: &Model| model.order.status.clone().unwrap();
    assert_eq!((status(&model).message, status(&model).budgets), (Some(said), vec![]), "it is not admitted yet");
    let steps: [(&[&str], &[&str]); 3] = [(&["team"], &["team"]), (&[], &["team"]), (&["other"], &["team", "other"])];
    for (holding, noted) in steps {
        let budgets = holding.iter().map(|name| (*name).to_owned()).collect();
        model.models = ModelUse { budgets, ..ModelUse::default() };
        model.settle();
        assert_eq!(status(&model).budgets, noted);
    }
    assert_eq!(pods(&model).len(), 2);
}

#[test]
fn a_coder_without_a_model_is_refused() {
    let mut spec = specification(&["alpha"]);
    spec.worker.plugin = "coder".to_owned();
    let model = started(spec, 1);
    assert_eq!(model.condition("Succeeded"), truth("False", "InvalidSpecification"));
    assert!(model.order.status.unwrap().message.unwrap().contains("worker.model"));
}

#[test]
fn what_was_used_is_on_the_worlds_and_adds_up_on_the_order() {
    let mut model = started(with_model(), 2);
    let uids: Vec<_> = model.worlds.values().map(|world| world.metadata.uid.clone().unwrap()).collect();
    let all = uids.iter().zip(["0.25", "1.50"]).map(|(uid, cost)| (uid.clone(), usage(cost)));
    model.models = ModelUse { usage: all.collect(), ..ModelUse::default() };
    for pod in model.created_pods.clone() {
        model.scores(&pod, 100, 10);
    }
    model.settle();
    let status = model.order.status.as_ref().unwrap().usage.clone().unwrap();
    assert_eq!((status.cost.to_string(), status.calls, status.input_tokens), ("1.75".to_owned(), 4, 200));
    let worlds = model.worlds.values().map(|world| world.status.as_ref().unwrap().usage.as_ref().unwrap().cost);
    assert_eq!(worlds.map(|cost| cost.to_string()).collect::<Vec<_>>(), ["0.25", "1.50"]);
    assert_eq!(model.order.status.unwrap().winner.as_deref(), Some("alpha"), "with equal points the cheaper one wins");
}

#[test]
fn the_models_of_an_order_are_each_named_once() {
    let mut spec = with_model();
    spec.worlds.variants[1].model = Some("other".to_owned());
    assert_eq!(models(&spec), ["m", "other"]);
    assert!(models(&specification(&["alpha"])).is_empty());
}

/// Returns an order as the API server has it.
fn stored(spec: WorkOrderSpec) -> Stored<WorkOrder> {
    Stored::parse(Model::new(spec, 1).order).unwrap()
}

fn spec_of_pod(order: &Stored<WorkOrder>, world: &World, settings: &Settings) -> PodSpec {
    let uid: WorldUid = "w".parse().unwrap();
    pod(order, world, 1, settings).owned_by(&uid).spec.unwrap()
}

#[test]
fn only_the_worker_of_a_world_with_a_model_has_the_gateways_token() {
    let settings = Settings {
        gateway_url: Some("http://gateway".to_owned()),
        ..Settings::new("runner".to_owned(), "http://operator".to_owned())
    };
    for (spec, expected) in [(with_model(), true), (specification(&["alpha", "beta"]), false)] {
        let order = stored(spec);
        let variant = &order.spec.worlds.variants[0];
        let world = world(&order, variant, 0, Resources::default(), &settings);
        let spec = spec_of_pod(&order, &world, &settings);
        let containers = spec.init_containers.unwrap().into_iter().chain(spec.containers);
        for container in containers {
            let has = container.name == labels::WORK && expected;
            let mounts = container.volume_mounts.unwrap();
            assert_eq!(mounts.iter().any(|mount| mount.mount_path == labels::GATEWAY_TOKEN_DIRECTORY), has);
            let env = container.env.unwrap();
            assert_eq!(env.iter().any(|variable| variable.name == labels::ENV_GATEWAY_URL), has);
        }
        let audiences: Vec<_> = spec
            .volumes
            .unwrap()
            .into_iter()
            .filter_map(|volume| volume.projected)
            .flat_map(|projected| projected.sources.unwrap())
            .filter_map(|source| source.service_account_token?.audience)
            .collect();
        let all = [labels::TOKEN_AUDIENCE, labels::GATEWAY_AUDIENCE];
        assert_eq!(audiences, all[..if expected { 2 } else { 1 }]);
    }
}

#[test]
fn the_gateways_token_is_valid_for_as_long_as_the_pod_may_live() {
    let settings = Settings {
        gateway_url: Some("http://gateway".to_owned()),
        ..Settings::new("runner".to_owned(), "http://operator".to_owned())
    };
    let mut spec = with_model();
    spec.worker.phase_timeouts.coding = Duration::from_minutes(180);
    let order = stored(spec);
    let world = world(&order, &order.spec.worlds.variants[0], 0, Resources::default(), &settings);
    let spec = spec_of_pod(&order, &world, &settings);
    let tokens =
        spec.volumes.unwrap().into_iter().filter_map(|volume| volume.projected).flat_map(|all| all.sources.unwrap());
    let seconds: Vec<_> = tokens.filter_map(|source| source.service_account_token?.expiration_seconds).collect();
    assert_eq!(seconds, [3600, spec.active_deadline_seconds.unwrap()]);
    assert!(seconds[1] > 3 * 3600);
}
