//! What is to be done about one order: survey what has happened, choose a course, write the plan.
//!
//! ```text
//! Snapshot -> survey -> wanted_slots -> (slots are granted over all orders) -> plan
//! ```

mod again;
mod course;
mod progress;
mod start;
mod status;

use std::sync::Arc;

use manyworlds_api::conditions::{OrderCondition, Reason, Truth, truth};
use manyworlds_api::work_order::SizingMode;
use manyworlds_api::world::WorldStage;
use manyworlds_api::{Duration, labels};

use crate::attempt::{AttemptState, NodeState, Remains, observe};
use crate::observation::{Placement, Presence};
use crate::plan::{Effect, Event, EventKind, Grace, Plan, WorldPatch};
use crate::policy::capacity::{Request, Resources};
use crate::policy::deadlines::signed;
use crate::role::WORK;
use crate::snapshot::{Grant, Snapshot};
use crate::support::{Earliest, placement};
use crate::world::{self, Change, Phase, WorldStep};
use course::{Course, Hold};
use manyworlds_metering::waits::longest_limited;

/// How often an order is looked at that waits for a model or for a budget. Changes of the order itself are seen at once.
const MODEL_INTERVAL: Duration = Duration::from_seconds(5);

/// What has happened to one order since its status was written, and what follows from it.
#[derive(Debug)]
#[must_use]
pub struct Survey<'a> {
    snapshot: &'a Snapshot,
    steps: Vec<WorldStep<'a>>,
    course: Course,
    /// The Event of a fallback run that begins now.
    fallback_event: Option<Event>,
    least: Resources,
}

/// Surveys an order.
///
/// - **Guarantees:** the order of Worlds and pods in the snapshot does not matter.
pub fn survey(snapshot: &Snapshot) -> Survey<'_> {
    let mut steps: Vec<WorldStep<'_>> = snapshot
        .order
        .spec
        .worlds
        .variants
        .iter()
        .enumerate()
        .map(|(index, variant)| step(snapshot, world::unopened(variant, index)))
        .collect();
    let size = Resources::of_world(&snapshot.order.spec.worlds.sizing.per_world);
    let mut course = course::choose(snapshot, &steps, size.as_ref().err());
    let mut fallback_event = None;
    if course::may_run_again(&course, snapshot, &steps)
        && let Some(event) = again::run_again(snapshot, &mut steps)
    {
        fallback_event = Some(event);
        course = Course::Go;
    }
    Survey { snapshot, steps, course, fallback_event, least: size.unwrap_or_default() }
}

fn step<'a>(snapshot: &'a Snapshot, unopened: WorldStep<'a>) -> WorldStep<'a> {
    let order = &snapshot.order;
    let name = labels::world_name(order.metadata.name.as_deref().unwrap_or_default(), &unopened.variant.name);
    let found = snapshot.worlds.iter().find(|world| {
        world.metadata.name.as_deref() == Some(name.as_str())
            && Some(&world.spec.order.uid) == order.metadata.uid.as_ref()
    });
    let Some(world) = found else { return unopened };
    let uid = world.metadata.uid.as_deref().unwrap_or_default();
    let current = world.status.as_ref().map_or(0, |status| status.attempt_count) + 1;
    let pod = snapshot.pods.iter().find(|pod| pod.is_attempt(&WORK, uid, current));
    let attempt = pod.map_or(AttemptState::Absent, |pod| {
        let lost = pod.node.as_ref().is_some_and(|node| snapshot.lost_nodes.contains(node));
        let node = if lost { NodeState::Lost } else { NodeState::Answers };
        observe(pod, node, &snapshot.settings, snapshot.now)
    });
    let attempt = match &snapshot.models.exhausted {
        Some(exhausted) => attempt.without_money(&exhausted.what),
        None => attempt,
    };
    let mut step = world::advance(&order.spec, unopened, world, pod, attempt, snapshot.now);
    if let Some(usage) = snapshot.models.usage.get(uid) {
        step.status.usage = Some(usage.clone());
    }
    step
}

impl Survey<'_> {
    /// Returns what the order would start now if there were room.
    ///
    /// - **Shape:** `share` gives a World's share of a node, of at least the size that it is given; `want` is 0 when the
    ///   order would start nothing.
    pub fn request(&self, share: impl FnOnce(Resources, &Placement) -> Resources) -> Request {
        let order = &self.snapshot.order;
        let placement = placement(&order.spec);
        let want = match self.course {
            Course::Go => start::startable(self.snapshot, &self.steps).len(),
            _ => 0,
        };
        Request {
            uid: order.metadata.uid.clone().unwrap_or_default(),
            priority: order.spec.priority,
            created: order.metadata.creation_timestamp.as_ref().map(|time| time.0),
            want,
            size: match order.spec.worlds.sizing.mode {
                SizingMode::ShareOfNode if want > 0 => share(self.least, &placement),
                SizingMode::Fixed | SizingMode::ShareOfNode => self.least,
            },
            placement: Arc::new(placement),
        }
    }

    /// Writes the plan, given what the order may start.
    pub fn plan(mut self, grant: Grant) -> Plan {
        let mut plan = Plan::default();
        let mut earliest = Earliest::default();
        match std::mem::replace(&mut self.course, Course::Leave) {
            Course::Leave => return plan,
            Course::Expire(Some(time)) if time <= self.snapshot.now => {
                plan.effects.push(Effect::DeleteOrder { uid: uid(self.snapshot) });
                return plan;
            }
            Course::Expire(time) => {
                plan.next_check = time;
                self.sweep(&mut plan);
                return plan;
            }
            Course::CleanUp(stale) => {
                plan.effects.extend(stale.into_iter().map(|(name, uid)| Effect::DeleteWorld { name, uid }));
                status::awaiting_cleanup(self.snapshot, &self.steps, &mut plan);
            }
            Course::Hold(hold) => self.hold(&hold, &mut plan, &mut earliest),
            Course::Await(reason, message) => {
                status::awaiting(self.snapshot, &self.steps, (reason, &message), &mut plan);
                earliest.note(self.snapshot.now + signed(MODEL_INTERVAL));
            }
            Course::End(end) => self.end(&end, &mut plan),
            Course::Go => self.go(grant, &mut plan, &mut earliest),
        }
        earliest.note_some(plan.next_check);
        plan.next_check = earliest.get();
        plan
    }

    /// Removes pods that an ended order still has.
    fn sweep(&self, plan: &mut Plan) {
        for pod in &self.snapshot.pods {
            let ended = pod.phase.is_terminal() || pod.stages.last().has_ended();
            if pod.presence == Presence::Present && !ended {
                plan.effects.push(delete(&pod.name, &pod.uid, Grace::Normal));
            }
        }
    }

    fn hold(mut self, hold: &Hold, plan: &mut Plan, earliest: &mut Earliest) {
        let (reason, message) = hold.said();
        let mut spared = Vec::new();
        for step in &mut self.steps {
            // A World that is being judged spends nothing more.
            let judged = step.pod.is_some_and(|pod| pod.stages.spends_no_more());
            if matches!(hold, Hold::BudgetExhausted(_)) && judged {
                spared.extend(step.pod.map(|pod| pod.name.clone()));
            } else if step.phase == Phase::Active {
                world::suspend(step, reason, &message, self.snapshot.now);
            }
        }
        self.write_worlds(plan);
        self.sweep(plan);
        plan.effects.retain(|effect| !matches!(effect, Effect::DeletePod { name, .. } if spared.contains(name)));
        status::held(self.snapshot, &self.steps, (reason, &message), plan);
        if matches!(hold, Hold::BudgetExhausted(_)) {
            earliest.note(self.snapshot.now + signed(MODEL_INTERVAL));
        }
    }

    fn end(mut self, end: &course::End, plan: &mut Plan) {
        for step in &mut self.steps {
            if step.phase != Phase::Ended && step.world.is_some() {
                world::cut(&mut step.status, &end.cut_message(), self.snapshot.now);
                step.change = Change::Ended;
                step.phase = Phase::Ended;
            }
        }
        self.write_worlds(plan);
        self.sweep(plan);
        status::ended(self.snapshot, &self.steps, end, plan);
    }

    fn go(mut self, grant: Grant, plan: &mut Plan, earliest: &mut Earliest) {
        self.put_off_progress(plan, earliest);
        self.write_worlds(plan);
        for step in &self.steps {
            earliest.note_some(step.look_again);
            let (Some(pod), grace) = (step.pod, grace(step.remains)) else { continue };
            if let Some(grace) = grace {
                plan.effects.push(delete(&pod.name, &pod.uid, grace));
            }
        }
        let startable = start::startable(self.snapshot, &self.steps);
        for step in self.steps.iter().filter(|step| !startable.contains(&step.index)) {
            if let Phase::Idle { not_before: Some(time) } = step.phase
                && time > self.snapshot.now
            {
                earliest.note(time);
            }
        }
        let starting = start::start(self.snapshot, &self.steps, &startable, grant, plan);
        status::active(self.snapshot, &self.steps, &starting, grant, plan);
        course::note_deadlines(self.snapshot, &self.steps, earliest);
        let models = &self.snapshot.models;
        if models.unavailable.is_some() || longest_limited(&models.waits, self.snapshot.now).is_some() {
            // Nobody tells when that is over.
            earliest.note(self.snapshot.now + signed(MODEL_INTERVAL));
        }
    }

    /// Lets Worlds whose status would only show how far they are wait for their turn.
    fn put_off_progress(&mut self, plan: &mut Plan, earliest: &mut Earliest) {
        for step in self.steps.iter_mut().filter(|step| step.shows_progress_only()) {
            if plan.progress_writes < self.snapshot.progress_writes {
                plan.progress_writes += 1;
            } else {
                step.change = Change::None;
                earliest.note(self.snapshot.now + signed(self.snapshot.settings.progress_interval));
            }
        }
    }

    fn write_worlds(&mut self, plan: &mut Plan) {
        for step in &self.steps {
            let (Some(world), true) = (step.world, step.change != Change::None) else { continue };
            // The Worlds that run again have a patch each; the first one brings the Event.
            let events = failure_event(step).into_iter().chain(self.fallback_event.take()).collect();
            let recorded = match (step.change, step.pod) {
                (Change::AttemptEnded | Change::Ended, Some(pod)) => vec![pod.name.clone()],
                _ => Vec::new(),
            };
            plan.effects.push(Effect::PatchWorld(Box::new(WorldPatch {
                name: world.metadata.name.clone().unwrap_or_default(),
                uid: world.metadata.uid.clone().unwrap_or_default(),
                resource_version: world.metadata.resource_version.clone().unwrap_or_default(),
                status: step.status.clone(),
                recorded_pods: recorded,
                events,
            })));
        }
    }
}

/// Returns the Event of a World that fails now.
fn failure_event(step: &WorldStep<'_>) -> Option<Event> {
    (step.change == Change::Ended && step.status.stage == Some(WorldStage::Failed)).then(|| Event {
        kind: EventKind::Warning,
        reason: Reason::WorkerFailed,
        action: "Evaluate",
        message: format!("World {} failed: {}", step.variant.name, step.status.message.as_deref().unwrap_or_default()),
    })
}

/// Returns how the pod of an ended attempt is to be removed, where it does not end by itself.
const fn grace(remains: Remains) -> Option<Grace> {
    match remains {
        Remains::Nothing => None,
        Remains::Pod => Some(Grace::Normal),
        Remains::PodOnLostNode => Some(Grace::None),
    }
}

fn delete(name: &str, uid: &str, grace: Grace) -> Effect {
    Effect::DeletePod { name: name.to_owned(), uid: uid.to_owned(), grace }
}

fn uid(snapshot: &Snapshot) -> String {
    snapshot.order.metadata.uid.clone().unwrap_or_default()
}

/// Returns when a finished order is to be deleted.
fn expiry(snapshot: &Snapshot) -> Option<jiff::Timestamp> {
    let ttl = snapshot.order.spec.ttl.as_ref()?;
    let status = snapshot.order.status.as_ref()?;
    let limit = match truth(&status.conditions, OrderCondition::Succeeded.as_str()) {
        Truth::True => ttl.after_success,
        Truth::False | Truth::Unknown => ttl.after_failure,
    }?;
    Some(status.completion_time.as_ref()?.0 + signed(limit))
}

#[cfg(test)]
mod tests;
