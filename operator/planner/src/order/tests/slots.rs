//! Tests of orders that have to wait for slots, or hold none because their pods are refused.

use manyworlds_api::conditions::Reason;
use manyworlds_api::work_order::ResourceAmounts;

use super::model::{Model, specification};
use super::{FIVE, pods, started, truth};
use crate::policy::capacity::Slot;
use crate::policy::refusal::Refusal;

#[test]
fn worlds_beyond_the_slots_wait_and_say_so() {
    let mut model = started(specification(&FIVE), 2);
    assert_eq!(model.created_pods.len(), 2);
    assert!(model.message().contains("place 1 of 1 in the queue"), "{}", model.message());
    model.scores("fix-alpha-1", 100, 1);
    model.settle();
    assert_eq!(model.created_pods.len(), 3, "a free slot is used at once");
}

#[test]
fn an_order_that_has_no_slot_makes_nothing() {
    let mut model = Model::new(specification(&FIVE), 1);
    let size = crate::node_resources::Resources::of_world(&ResourceAmounts::default()).unwrap();
    let slot = Slot { namespace: "team".into(), node: Some("node".into()), size };
    model.capacity.occupy(&"other".parse().unwrap(), slot);
    model.settle();
    assert!(model.worlds.is_empty());
    assert_eq!(model.condition("Admitted"), truth("False", "AwaitingCapacity"));
    assert_eq!(model.order.status.as_ref().unwrap().summary.as_deref(), Some("AwaitingCapacity"));
}

/// W7: an order whose pods are refused says so, asks for no slot meanwhile, and then tries one World at a time.
#[test]
fn a_refused_order_waits_without_a_place_in_the_queue_and_tries_one_world_first() {
    let mut model = Model::new(specification(&FIVE), 5);
    let retry = model.now + jiff::SignedDuration::from_secs(5);
    let refused = Refusal::new(Reason::PermissionDenied, "exceeded quota: none".to_owned(), 1, retry);
    model.refusal = Some(refused.clone());
    assert_eq!(model.settle(), Some(retry));
    assert!(model.worlds.is_empty());
    assert_eq!(model.condition("Stalled"), truth("True", "PermissionDenied"));
    assert_eq!(model.condition("Admitted").0, "False");
    assert!(model.message().contains("exceeded quota: none"), "{}", model.message());
    assert_eq!(model.capacity.waiting(), 0);
    model.pass(5);
    let plan = model.plan();
    assert_eq!((plan.effects.len(), plan.next_check), (1, Some(model.now)));
    model.carry_out(&plan);
    assert_eq!(pods(&model), ["fix-alpha-1"]);
    model.refusal = refused.after_success(5);
    let plan = model.plan();
    model.carry_out(&plan);
    assert_eq!(pods(&model).len(), 3, "one was taken, so two are tried");
    model.refusal = None;
    model.settle();
    assert_eq!(model.condition("Stalled").0, "False");
    assert_eq!(pods(&model).len(), 5);
}
