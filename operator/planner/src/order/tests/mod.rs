mod baselines;
mod evaluations;
mod fallbacks;
mod model;
mod models;
mod pod_templates;
mod progress;
mod reevaluations;
mod roles;
mod slots;

use manyworlds_api::Duration;
use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::{Approval, Deadlines, EarlyTermination, TimeToLive, WorkOrderSpec, default_variants};
use manyworlds_api::world::WorldStage;
use model::{Baselines, Model, specification};
use proptest::prelude::*;

use crate::policy::retry::MOST_EVALUATIONS;

const FIVE: [&str; 5] = ["alpha", "beta", "gamma", "delta", "epsilon"];

fn started(spec: WorkOrderSpec, slots: u64) -> Model {
    let mut model = Model::new(spec, slots);
    model.settle();
    model
}

fn five() -> Model {
    started(specification(&FIVE), 5)
}

/// Returns the pods that were made to work, without those that were made to judge.
fn pods(model: &Model) -> Vec<&str> {
    model.created_pods.iter().map(String::as_str).filter(|name| !is_evaluation(name)).collect()
}

/// Returns the pods that were made to judge.
fn evaluations(model: &Model) -> Vec<&str> {
    model.created_pods.iter().map(String::as_str).filter(|name| is_evaluation(name)).collect()
}

fn is_evaluation(name: &str) -> bool {
    name.rsplit_once("-e").is_some_and(|(_, number)| number.parse::<i32>().is_ok())
}

fn truth(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn five_worlds_take_twenty_four_writes_and_two_events() {
    let mut model = five();
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-beta-1", "fix-gamma-1", "fix-delta-1", "fix-epsilon-1"]);
    for pod in model.created_pods.clone() {
        model.collects(&pod);
    }
    model.settle();
    let judging = FIVE.map(|variant| format!("fix-{variant}-1-e1"));
    assert_eq!(evaluations(&model), judging);
    for (pod, points) in judging.iter().zip([80, 100, 90, 70, 60]) {
        model.judges(pod, points, 10);
    }
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("True", "HighestScore"));
    assert_eq!(model.writes, 24, "4N + 4");
    assert_eq!(model.created_baselines, ["fix-baseline-e1"]);
    assert_eq!(model.events.len(), 2);
    let status = model.order.status.as_ref().unwrap();
    assert_eq!(status.winner.as_deref(), Some("beta"));
    let ranking: Vec<&str> = status.ranking.iter().map(|ranked| ranked.world.as_str()).collect();
    assert_eq!(ranking, ["beta", "gamma", "alpha", "delta", "epsilon"]);
    assert!(!status.ranking[4].eligible, "60 is below the accepted 70");
    assert_eq!(status.base_commit, Some("b".repeat(40)));
}

#[test]
fn a_worlds_failure_is_told_once_though_the_orders_status_is_held_back() {
    let mut model = five();
    model.progress_writes = 0;
    for attempt in 1..=3 {
        model.fails(&format!("fix-alpha-{attempt}"), FailureClass::Worker, "oops");
        model.settle();
        model.pass(5);
        model.settle();
    }
    let failed = |model: &Model| model.events.iter().filter(|event| event.message.contains("alpha failed")).count();
    assert_eq!(model.order.status.as_ref().unwrap().worlds.failed, 0, "the order's own status waits for its turn");
    assert_eq!(failed(&model), 1);
    model.progress_writes = u32::MAX;
    model.pass(60);
    model.settle();
    assert_eq!(model.order.status.as_ref().unwrap().worlds.failed, 1);
    assert_eq!(failed(&model), 1);
}

#[test]
fn the_default_variants_are_the_five_worlds() {
    let names: Vec<String> = default_variants().into_iter().map(|variant| variant.name).collect();
    assert_eq!(names, FIVE);
}

#[test]
fn one_success_of_five_is_enough() {
    let mut model = five();
    model.scores("fix-gamma-1", 100, 1);
    for pod in ["fix-alpha-1", "fix-beta-1", "fix-delta-1", "fix-epsilon-1"] {
        model.scores(pod, 10, 1);
    }
    model.settle();
    assert_eq!(model.order.status.as_ref().unwrap().winner.as_deref(), Some("gamma"));
}

#[test]
fn an_order_without_an_eligible_world_says_why_for_each() {
    let mut model = started(specification(&["alpha", "beta"]), 2);
    model.scores("fix-alpha-1", 40, 1);
    for attempt in 1..=3 {
        model.fails(&format!("fix-beta-{attempt}"), FailureClass::Worker, "the model is not to be had");
        model.settle();
        model.pass(5);
        model.settle();
    }
    assert_eq!(model.condition("Succeeded"), truth("False", "NoEligibleWorld"));
    assert!(model.message().contains("alpha: its score of 40 is below 70"), "{}", model.message());
    assert!(model.message().contains("beta: the model is not to be had"), "{}", model.message());
}

#[test]
fn a_failed_worker_is_tried_again_after_one_and_two_seconds() {
    let mut model = started(specification(&["alpha"]), 1);
    model.fails("fix-alpha-1", FailureClass::Worker, "oops");
    let next_check = model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1"]);
    assert_eq!(next_check, Some(model.now + jiff::SignedDuration::from_secs(1)));
    model.pass(1);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-alpha-2"]);
    model.fails("fix-alpha-2", FailureClass::Worker, "oops");
    model.settle();
    model.pass(1);
    model.settle();
    assert_eq!(model.created_pods.len(), 2, "the second wait is two seconds");
    model.pass(1);
    model.settle();
    assert_eq!(model.created_pods.len(), 3);
    model.fails("fix-alpha-3", FailureClass::Worker, "oops");
    model.settle();
    assert!(model.is_finished());
    let status = model.worlds["fix-alpha"].status.as_ref().unwrap();
    assert_eq!((status.attempt_count, status.counted_attempts, status.stage), (3, 3, Some(WorldStage::Failed)));
}

#[test]
fn a_pod_that_somebody_deleted_costs_the_world_nothing() {
    let mut model = started(specification(&["alpha"]), 1);
    model.vanishes("fix-alpha-1");
    model.settle();
    model.pass(1);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-alpha-2"]);
    let status = model.worlds["fix-alpha"].status.as_ref().unwrap();
    assert_eq!((status.counted_attempts, status.attempts[0].reason.as_str()), (0, "PodDeleted"));
}

#[test]
fn a_result_counts_though_its_pod_is_gone() {
    let mut model = started(specification(&["alpha"]), 1);
    model.scores("fix-alpha-1", 100, 1);
    model.vanishes("fix-alpha-1");
    model.vanishes("fix-alpha-1-e1");
    model.settle();
    assert_eq!(model.order.status.as_ref().unwrap().winner.as_deref(), Some("alpha"));
    assert_eq!(pods(&model), ["fix-alpha-1"]);
}

#[test]
fn a_lost_node_frees_the_world_for_another_one() {
    let mut model = started(specification(&["alpha"]), 1);
    model.lost_nodes.push("node".into());
    model.settle();
    let status = model.worlds["fix-alpha"].status.as_ref().unwrap();
    assert_eq!(status.attempts[0].reason, "NodeLost");
    assert_eq!(model.deleted_pods, ["fix-alpha-1"]);
}

#[test]
fn a_fault_of_the_order_ends_it_and_cuts_the_others() {
    let mut model = started(specification(&["alpha", "beta"]), 2);
    model.fails("fix-beta-1", FailureClass::Spec, "the repository has no revision nope");
    model.settle();
    assert_eq!(model.condition("Succeeded").0, "False");
    assert!(model.message().contains("World beta: the repository has no revision nope"), "{}", model.message());
    assert_eq!(model.deleted_pods, ["fix-alpha-1"]);
    assert_eq!(model.worlds["fix-alpha"].status.as_ref().unwrap().stage, Some(WorldStage::Cut));
}

#[test]
fn no_node_that_could_hold_a_world_is_said_plainly() {
    let model = started(specification(&FIVE), 0);
    assert_eq!(model.condition("Stalled"), truth("True", "NoNodeFits"));
    assert!(model.message().contains("worlds.sizing.perWorld"));
}

#[test]
fn a_world_that_lost_its_pod_waits_for_a_node_and_not_for_a_retry() {
    let mut model = started(specification(&["alpha"]), 1);
    let node = model.capacity.node("node").unwrap().clone();
    model.capacity.node_set(crate::observation::ObservedNode { schedulable: false, ..node.clone() });
    model.vanishes("fix-alpha-1");
    model.settle();
    assert_eq!(model.condition("Succeeded").1, "AwaitingRetry");
    assert!(model.message().contains("World alpha: attempt 1 failed: somebody deleted pod"), "{}", model.message());
    model.pass(2);
    model.settle();
    assert_eq!(model.condition("Stalled"), truth("True", "NoNodeFits"));
    assert!(model.message().contains("1 cordoned"), "{}", model.message());
    model.capacity.node_set(node);
    model.settle();
    assert_eq!(pods(&model), ["fix-alpha-1", "fix-alpha-2"]);
    assert_eq!(model.condition("Stalled").0, "False");
}

#[test]
fn parallelism_bounds_what_runs_at_once() {
    let mut spec = specification(&FIVE);
    spec.worlds.parallelism = 2;
    let mut model = started(spec, 5);
    assert_eq!(model.created_pods.len(), 2);
    model.scores("fix-alpha-1", 100, 1);
    assert_eq!(pods(&model).len(), 2, "what is judged counts as what runs");
    model.settle();
    assert_eq!(pods(&model).len(), 3);
}

#[test]
fn a_suspended_order_runs_nothing_and_goes_on_where_it_was() {
    let mut model = five();
    model.scores("fix-alpha-1", 100, 1);
    model.settle();
    model.pass(60);
    model.order.spec.suspend = true;
    model.settle();
    assert_eq!(model.deleted_pods.len(), 4);
    assert_eq!(model.order.status.as_ref().unwrap().summary.as_deref(), Some("Suspended"));
    model.pass(3600);
    model.settle();
    model.order.spec.suspend = false;
    model.settle();
    assert_eq!(pods(&model)[5..], ["fix-beta-2", "fix-gamma-2", "fix-delta-2", "fix-epsilon-2"]);
    let status = model.worlds["fix-beta"].status.as_ref().unwrap();
    assert_eq!(status.counted_attempts, 0, "a suspension is not the World's fault");
}

#[test]
fn time_in_suspension_does_not_count_against_the_active_deadline() {
    let mut spec = specification(&["alpha"]);
    spec.deadlines = Some(Deadlines { start: None, active: Some(Duration::from_minutes(10)) });
    let mut model = started(spec, 1);
    model.pass(300);
    model.order.spec.suspend = true;
    model.settle();
    model.pass(36_000);
    model.order.spec.suspend = false;
    let next_check = model.settle();
    assert!(!model.is_finished());
    assert_eq!(next_check, Some(model.now + jiff::SignedDuration::from_secs(300)), "half of the time is left");
    model
        .pods
        .values_mut()
        .for_each(|pod| pod.stages.set("work", crate::observation::StageState::Running { since: None }));
    model.pass(299);
    model.settle();
    assert!(!model.is_finished());
    model.pass(1);
    model.settle();
    assert_eq!(model.condition("Succeeded"), truth("False", "ActiveDeadlineExceeded"));
}

#[test]
fn a_good_result_before_the_active_deadline_wins() {
    let mut spec = specification(&["alpha", "beta"]);
    spec.deadlines = Some(Deadlines { start: None, active: Some(Duration::from_minutes(1)) });
    let mut model = started(spec, 2);
    model.scores("fix-beta-1", 90, 1);
    model.settle();
    model.pass(60);
    model.settle();
    assert_eq!(model.order.status.as_ref().unwrap().winner.as_deref(), Some("beta"));
    assert_eq!(model.deleted_pods, ["fix-alpha-1"]);
}

#[test]
fn the_start_deadline_ends_an_order_that_never_got_a_slot() {
    let mut spec = specification(&["alpha"]);
    spec.deadlines = Some(Deadlines { start: Some(Duration::from_seconds(30)), active: None });
    let mut model = started(spec, 0);
    model.pass(30);
    model.settle();
    assert_eq!(model.condition("Finished"), truth("True", "StartDeadlineExceeded"));
}

#[test]
fn enough_good_results_cut_the_rest() {
    let mut spec = specification(&FIVE);
    spec.early_termination = Some(EarlyTermination { score: Some(95), after_eligible: None });
    let mut model = started(spec, 5);
    model.scores("fix-delta-1", 90, 1);
    model.settle();
    assert!(!model.is_finished());
    model.scores("fix-alpha-1", 96, 1);
    model.settle();
    assert_eq!(model.condition("Evaluated"), truth("True", "EarlyTermination"));
    let counts = &model.order.status.as_ref().unwrap().worlds;
    assert_eq!((counts.scored, counts.cut), (2, 3));
}

#[test]
fn a_cancelled_order_ends_its_worlds_and_stays_ended() {
    let mut model = five();
    model.order.spec.cancel = true;
    model.settle();
    assert_eq!(model.condition("Finished"), truth("True", "Cancelled"));
    assert_eq!(model.deleted_pods.len(), 5);
    let writes = model.writes;
    model.pass(86_400);
    model.settle();
    assert_eq!(model.writes, writes);
}

#[test]
fn a_finished_order_goes_when_its_time_to_live_is_over() {
    let mut spec = specification(&["alpha"]);
    spec.ttl = Some(TimeToLive { after_success: Some(Duration::from_minutes(1)), after_failure: None });
    let mut model = started(spec, 1);
    model.scores("fix-alpha-1", 100, 1);
    model.settle();
    let plan = model.plan();
    assert_eq!(plan.next_check, Some(model.now + jiff::SignedDuration::from_secs(60)));
    model.pass(60);
    let plan = model.plan();
    model.carry_out(&plan);
    assert!(model.order_deleted);
}

#[test]
fn worlds_of_an_earlier_order_of_the_same_name_go_first() {
    let mut model = five();
    model.order.metadata.uid = Some("order-2".to_owned());
    model.order.status = None;
    model.pods.clear();
    let plan = model.plan();
    assert_eq!(plan.effects.len(), 5);
    model.carry_out(&plan);
    assert_eq!(model.order.status.as_ref().unwrap().summary.as_deref(), Some("AwaitingCleanup"));
    model.settle();
    assert!(model.worlds.values().all(|world| world.spec.order.uid == "order-2"));
}

#[test]
fn what_this_version_does_not_do_is_refused_not_ignored() {
    let mut spec = specification(&["alpha"]);
    spec.approval = Approval::Required;
    let model = started(spec, 1);
    assert_eq!(model.condition("Finished"), truth("True", "NotSupported"));
    assert!(model.message().contains("spec.approval"));
    assert!(model.created_pods.is_empty());
}

/// An event of a World's current pod.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Scores(i32),
    Fails(FailureClass),
    Vanishes,
    Time(i64),
    Suspend,
    Resume,
    Cancel,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..=100_i32).prop_map(Happening::Scores),
        prop::sample::select(&FailureClass::ALL[..5]).prop_map(Happening::Fails),
        Just(Happening::Vanishes),
        (0..100_i64).prop_map(Happening::Time),
        Just(Happening::Suspend),
        Just(Happening::Resume),
        prop_oneof![9 => Just(Happening::Resume), 1 => Just(Happening::Cancel)],
    ]
}

proptest! {
    /// Whatever happens: a plan that was carried out leaves nothing to plan, terminal stays terminal, no pod is made
    /// twice, no attempt is judged too often, and never more run than there are slots. (The model itself asserts that nothing
    /// is made twice.)
    #[test]
    fn an_order_always_comes_to_rest(
        slots in 1..5_u64,
        baselines in prop::sample::select(vec![Baselines::EndAtOnce, Baselines::ByTest]),
        steps in prop::collection::vec((happening(), 0..5_usize), 0..40),
    ) {
        let mut model = started(specification(&FIVE), slots);
        model.baselines = baselines;
        let mut ended = None;
        for (happening, which) in steps {
            let running: Vec<String> = model
                .pods
                .values()
                .filter(|pod| !pod.phase.is_terminal() && pod.presence == crate::observation::Presence::Present)
                .map(|pod| pod.name().to_string())
                .collect();
            prop_assert!(running.len() <= usize::try_from(slots)?);
            let pod = running.get(which % running.len().max(1)).cloned();
            match (happening, pod) {
                (Happening::Scores(points), Some(pod)) => model.ends_well(&pod, points),
                (Happening::Fails(class), Some(pod)) => model.fails(&pod, class, "it failed"),
                (Happening::Vanishes, Some(pod)) => model.vanishes(&pod),
                (Happening::Time(seconds), _) => model.pass(seconds),
                (Happening::Suspend, _) => model.order.spec.suspend = true,
                (Happening::Resume, _) => model.order.spec.suspend = false,
                (Happening::Cancel, _) => model.order.spec.cancel = true,
                (_, None) => {}
            }
            model.settle();
            if let Some(before) = &ended {
                prop_assert_eq!(Some(before), model.order.status.as_ref());
            }
            prop_assert!(model.pods.values().all(|pod| pod.number <= MOST_EVALUATIONS));
            if model.is_finished() {
                ended = model.order.status.clone();
            }
        }
    }
}
