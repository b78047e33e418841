//! Tests of when progress is shown.

use manyworlds_api::world::WorldStage;

use super::model::{Model, specification};
use super::{FIVE, started};
use crate::observation::StageState;
use crate::world::SHOWN_AFTER;

/// Every pod of an order fetches the repository from now on.
fn preparing(model: &mut Model) {
    let running = StageState::Running { since: Some(model.now) };
    model.pods.values_mut().for_each(|pod| pod.stages.set("prepare", running.clone()));
}

fn shown(model: &Model) -> usize {
    let stages = model.worlds.values().filter_map(|world| world.status.as_ref()?.stage);
    stages.filter(|stage| *stage == WorldStage::Preparing).count()
}

#[test]
fn a_stage_is_shown_once_it_has_lasted_two_seconds() {
    let mut model = started(specification(&["alpha"]), 1);
    let since = model.now;
    preparing(&mut model);
    let writes = model.writes;
    let next_check = model.settle();
    assert_eq!((model.writes, next_check), (writes, Some(since + SHOWN_AFTER)));
    model.pass(2);
    model.settle();
    assert_eq!(shown(&model), 1);
}

#[test]
fn stages_wait_where_too_much_is_shown_already() {
    let mut model = started(specification(&FIVE), 5);
    preparing(&mut model);
    model.progress_writes = 2;
    model.pass(2);
    let plan = model.plan();
    assert_eq!((plan.effects.len(), plan.progress_writes), (2, 2));
    assert_eq!(plan.next_check, Some(model.now + jiff::SignedDuration::from_secs(5)), "the others are not forgotten");
    model.carry_out(&plan);
    assert_eq!(shown(&model), 2);
    model.pass(5);
    model.settle();
    assert_eq!(shown(&model), 5, "their turn comes");
}

#[test]
fn what_has_ended_is_written_whatever_is_shown() {
    let mut model = started(specification(&["alpha", "beta"]), 2);
    model.progress_writes = 0;
    let before = model.writes;
    model.scores("fix-alpha-1", 90, 1);
    model.pass(10);
    let next_check = model.settle();
    assert_eq!(
        model.writes,
        before + 4,
        "the base, the pod that judges and the World, and not the counts of its order"
    );
    assert_eq!(next_check, Some(model.now + jiff::SignedDuration::from_secs(5)));
    model.scores("fix-beta-1", 80, 1);
    model.settle();
    assert!(model.is_finished());
    assert_eq!(model.writes, before + 7);
}

#[test]
fn what_keeps_a_pod_from_starting_is_written_whatever_is_shown() {
    let mut model = started(specification(&["alpha"]), 1);
    model.progress_writes = 0;
    let message = "no such image".to_owned();
    let stuck = StageState::Waiting { reason: "ErrImagePull".to_owned(), message };
    model.pods.values_mut().for_each(|pod| pod.stages.set("work", stuck.clone()));
    model.settle();
    assert_eq!(model.condition("Stalled").1, "ImagePullFailed");
    // And so is that it is over.
    preparing(&mut model);
    model.pods.values_mut().for_each(|pod| pod.stages.set("work", StageState::Pending));
    model.pass(2);
    model.settle();
    assert_eq!(model.condition("Stalled").0, "False");
}
