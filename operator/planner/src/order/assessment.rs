//! The assessment of an order: what has happened to it since its status was written.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use manyworlds_api::labels;
use manyworlds_api::work_order::{ReevaluationStatus, WorkOrderSpec};
use manyworlds_api::world::WorldStage;

use crate::attempt::stored_base;
use crate::attempt_pods::{AttemptPods, JudgedAgain, Look};
use crate::baseline::Baseline;
use crate::node_resources::Resources;
use crate::plan::Event;
use crate::policy::deadlines;
use crate::quantity::QuantityError;
use crate::snapshot::ValidSnapshot;
use crate::support::Earliest;
use crate::world::{self, Change, Phase, WorldState};

/// The facts about one order that its phases decide by.
#[derive(Debug)]
pub(super) struct Assessment<'a> {
    /// The snapshot that it was read from.
    pub(super) snapshot: &'a ValidSnapshot,
    /// Its Worlds, in the order of its variants.
    pub(super) worlds: Vec<WorldState<'a>>,
    /// What its gates give at the base.
    pub(super) baseline: Baseline<'a>,
    /// The least need of one World.
    pub(super) size: Result<Resources, QuantityError>,
    /// The answer to a request to judge Worlds again, where it is given in this look.
    pub(super) answer: Option<Answer>,
}

/// The answer to a request to judge Worlds again.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// What the order's status says of it.
    pub(super) status: ReevaluationStatus,
    /// What people are told.
    pub(super) event: Event,
}

/// A deadline of an order that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No World was started in time.
    Start,
    /// The Worlds have been active for too long.
    Active,
}

impl<'a> Assessment<'a> {
    /// Assesses an order.
    ///
    /// - **Guarantees:** the order of Worlds and pods in the snapshot does not matter.
    pub(super) fn of(snapshot: &'a ValidSnapshot) -> Self {
        let spec = &snapshot.order.spec;
        let variants = spec.worlds.variants.iter().enumerate();
        let worlds: Vec<_> =
            variants.map(|(index, variant)| state(snapshot, world::unopened(variant, index))).collect();
        let baseline = Baseline::of(snapshot, &look(snapshot, None), base_commit(snapshot, &worlds));
        Self { snapshot, worlds, baseline, size: Resources::of_world(&spec.worlds.sizing.per_world), answer: None }
    }

    /// Returns the specification of the order.
    pub(super) fn spec(&self) -> &'a WorkOrderSpec {
        &self.snapshot.order.spec
    }

    /// Returns whether a World has been opened.
    pub(super) fn has_begun(&self) -> bool {
        self.worlds.iter().any(|state| state.world.is_some())
    }

    /// Returns whether a World has had an attempt. One that was opened may still wait for the pod of its first.
    pub(super) fn has_attempted(&self) -> bool {
        self.worlds.iter().any(|state| match state.phase {
            Phase::Active | Phase::Ended => true,
            Phase::Unopened | Phase::Idle { .. } => {
                state.status.attempt_count > 0 || state.status.reevaluation.is_some()
            }
        })
    }

    /// Returns whether the order has finished before, and goes on for nothing but to judge Worlds again. It works and spends no more.
    pub(super) fn only_judges_again(&self) -> bool {
        let status = self.snapshot.order.status.as_ref();
        status.is_some_and(|status| status.completion_time.is_some())
    }

    /// Returns whether the order has finished, and goes on now because Worlds of it are judged again.
    pub(super) fn is_reopened(&self) -> bool {
        let order = &self.snapshot.order;
        order.is_finished() && (self.accepts_request() || self.worlds.iter().any(|state| self.is_ahead(state)))
    }

    fn accepts_request(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.status.worlds.is_empty())
    }

    /// Returns whether a World is judged again while its order does not say so yet: the operator ended in between.
    fn is_ahead(&self, state: &WorldState<'_>) -> bool {
        let status = self.snapshot.order.status.as_ref();
        let answered = status.and_then(|status| Some(status.reevaluation.as_ref()?.request.as_str()));
        let begun = state.status.reevaluation.as_ref().map(|reevaluation| reevaluation.request.as_str());
        let is_open = state.phase != Phase::Ended || state.change == Change::Ended;
        is_open && begun.is_some() && begun != answered
    }

    fn has_started(&self) -> bool {
        let status = self.snapshot.order.status.as_ref();
        status.is_some_and(|status| status.start_time.is_some()) || self.has_attempted()
    }

    /// Returns the deadline that has passed.
    pub(super) fn overdue(&self) -> Option<Overdue> {
        let order = &self.snapshot.order;
        if self.only_judges_again() {
            return None;
        }
        let past = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| deadline <= self.snapshot.now);
        if self.has_started() {
            let status = order.status.clone().unwrap_or_default();
            return past(deadlines::active_deadline(order, &status)).then_some(Overdue::Active);
        }
        past(deadlines::start_deadline(order)).then_some(Overdue::Start)
    }

    /// Notes when the next deadline of the order passes.
    pub(super) fn note_deadlines(&self, earliest: &mut Earliest) {
        let order = &self.snapshot.order;
        if self.only_judges_again() {
            return;
        }
        if self.has_started() {
            let mut status = order.status.clone().unwrap_or_default();
            status.start_time.get_or_insert(Time(self.snapshot.now));
            earliest.note_some(deadlines::active_deadline(order, &status));
        } else {
            earliest.note_some(deadlines::start_deadline(order));
        }
    }
}

/// Returns the facts that pods are read by.
///
/// - **Shape:** `shown` is the stage that the status of the pods' World shows; `None` for pods that are of no World.
fn look(snapshot: &ValidSnapshot, shown: Option<WorldStage>) -> Look<'_> {
    Look {
        lost_nodes: &snapshot.lost_nodes,
        settings: &snapshot.settings,
        retry: &snapshot.order.spec.retry,
        shown,
        again: None,
        exhausted: snapshot.models.exhausted.as_ref().map(|exhausted| exhausted.what.as_str()),
        now: snapshot.now,
    }
}

/// Returns the commit that all Worlds start from, once it is stored: as it is recorded, else as a pod of a World reports it.
fn base_commit(snapshot: &ValidSnapshot, worlds: &[WorldState<'_>]) -> Option<String> {
    let recorded = snapshot.order.status.as_ref().and_then(|status| status.base_commit.clone());
    let recorded = recorded.or_else(|| worlds.iter().find_map(|state| state.status.base_commit.clone()));
    let is_own = |uid: &str| snapshot.worlds.iter().any(|world| *world.uid() == *uid);
    let pods = snapshot.pods.iter().filter(|pod| is_own(&pod.owner.uid));
    // All report the same one; of two that differ it does not matter in which order they were seen.
    recorded.or_else(|| pods.filter_map(|pod| stored_base(pod)).min())
}

/// Returns the state of one World.
fn state<'a>(snapshot: &'a ValidSnapshot, unopened: WorldState<'a>) -> WorldState<'a> {
    let order = &snapshot.order;
    let name = labels::world_name(order.name(), &unopened.variant.name);
    let Some(world) = snapshot.worlds.iter().find(|world| world.name() == name) else { return unopened };
    let uid = world.uid().as_str();
    let current = world.status.as_ref().map_or(0, |status| status.attempt_count) + 1;
    let again = world.status.as_ref().and_then(JudgedAgain::of);
    let shown = world.status.as_ref().and_then(|status| status.stage);
    let look = Look { again: again.as_ref(), ..look(snapshot, shown) };
    let attempt = AttemptPods::of(&snapshot.pods, uid, current, again.as_ref()).look(&look);
    let mut state = world::advance(&order.spec, unopened, world, attempt, snapshot.now);
    if let Some(usage) = snapshot.models.usage.get(uid) {
        state.status.usage = Some(usage.clone());
    }
    state
}
