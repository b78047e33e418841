//! The plan of one order: every write that follows from its decision.

use std::sync::Arc;

use manyworlds_api::Duration;
use manyworlds_api::conditions::Reason;
use manyworlds_api::work_order::SizingMode;
use manyworlds_api::world::WorldStage;
use manyworlds_metering::waits::longest_limited;

use super::assessment::Assessment;
use super::decision::{Decision, End, Hold};
use super::{fallback_run, phases, reevaluation, starting, status};
use crate::attempt::Remains;
use crate::grant::Grant;
use crate::node_resources::Resources;
use crate::observation::{Placement, Presence};
use crate::plan::{Effect, Event, EventKind, Grace, Plan, WorldPatch};
use crate::policy::capacity::Request;
use crate::policy::deadlines::signed;
use crate::snapshot::ValidSnapshot;
use crate::support::{Earliest, placement};
use crate::world::{self, Change, KeptWork, Phase, WorldState};
use crate::world_status;

/// The interval between two looks at an order that waits for a model or a budget. Changes of the order itself are seen at once.
const MODEL_INTERVAL: Duration = Duration::from_seconds(5);

/// An assessed order, with what is done about it.
#[derive(Debug)]
#[must_use]
pub struct OrderDecision<'a> {
    assessment: Assessment<'a>,
    decision: Decision,
    /// The Event of a fallback run that begins now.
    fallback_event: Option<Event>,
}

/// Decides about an order.
///
/// - **Guarantees:** the order of Worlds and pods in the snapshot does not matter.
pub fn decide(snapshot: &ValidSnapshot) -> OrderDecision<'_> {
    let mut assessment = Assessment::of(snapshot);
    let mut decision = phases::decide(&assessment);
    if reevaluation::is_possible(&decision)
        && let Some(answer) = reevaluation::answer(&mut assessment)
    {
        assessment.answer = Some(answer);
        decision = phases::decide(&assessment);
    }
    let mut fallback_event = None;
    if fallback_run::is_possible(&decision, &assessment)
        && let Some(event) = fallback_run::begin(&mut assessment)
    {
        fallback_event = Some(event);
        decision = Decision::Proceed;
    }
    OrderDecision { assessment, decision, fallback_event }
}

impl OrderDecision<'_> {
    /// Returns what the order would start now if there were room.
    ///
    /// - **Shape:** `share` gives a World's share of a node, of at least the size that it is given; `want` is 0 when the
    ///   order would start nothing.
    pub fn request(&self, share: impl FnOnce(Resources, &Placement) -> Resources) -> Request {
        let order = &self.assessment.snapshot.order;
        let least = self.assessment.size.as_ref().copied().unwrap_or_default();
        let placement = placement(&order.spec);
        let want = match self.decision {
            Decision::Proceed => {
                starting::startable(&self.assessment).len() + usize::from(starting::asks_for_baseline(&self.assessment))
            }
            _ => 0,
        };
        Request {
            uid: order.uid().clone(),
            namespace: order.id().namespace.clone(),
            priority: order.spec.priority,
            created: order.created(),
            want,
            size: match order.spec.worlds.sizing.mode {
                SizingMode::ShareOfNode if want > 0 => share(least, &placement),
                SizingMode::Fixed | SizingMode::ShareOfNode => least,
            },
            placement: Arc::new(placement),
        }
    }

    /// Writes the plan, given what the order may start.
    pub fn plan(mut self, grant: Grant) -> Plan {
        let mut plan = Plan::default();
        let mut earliest = Earliest::default();
        match std::mem::replace(&mut self.decision, Decision::Leave) {
            Decision::Leave => return plan,
            Decision::Expire(Some(time)) if time <= self.assessment.snapshot.now => {
                plan.effects.push(Effect::DeleteOrder(self.assessment.snapshot.order.id().clone()));
                return plan;
            }
            Decision::Expire(time) => {
                plan.next_check = time;
                self.sweep(&mut plan);
                status::answered(&self.assessment, &mut plan);
                return plan;
            }
            Decision::CleanUp(stale) => {
                plan.effects.extend(stale.into_iter().map(Effect::DeleteWorld));
                status::awaiting_cleanup(&self.assessment, &mut plan);
            }
            Decision::Hold(hold) => self.hold(&hold, &mut plan, &mut earliest),
            Decision::Await(reason, message) => {
                status::awaiting(&self.assessment, (reason, &message), &mut plan);
                earliest.note(self.assessment.snapshot.now + signed(MODEL_INTERVAL));
            }
            Decision::End(end) => self.end(&end, &mut plan),
            Decision::Proceed => self.proceed(grant, &mut plan, &mut earliest),
        }
        earliest.note_some(plan.next_check);
        plan.next_check = earliest.get();
        plan
    }

    /// Removes pods that an ended order still has.
    fn sweep(&self, plan: &mut Plan) {
        for pod in &self.assessment.snapshot.pods {
            let ended = pod.phase.is_terminal() || pod.stages.last().has_ended();
            if pod.presence == Presence::Present && !ended {
                plan.effects.push(Effect::DeletePod { pod: pod.id.clone(), grace: Grace::Normal });
            }
        }
    }

    fn hold(mut self, hold: &Hold, plan: &mut Plan, earliest: &mut Earliest) {
        let (reason, message) = hold.said();
        let mut spared = Vec::new();
        let baseline = &self.assessment.baseline;
        if matches!(hold, Hold::BudgetExhausted(_)) && baseline.remains == Remains::Nothing {
            // A gate calls no model.
            spared.extend(baseline.pod.map(|pod| pod.id.clone()));
        }
        for state in &mut self.assessment.worlds {
            // A World that is being judged spends nothing more.
            let judged = state.pod.is_some_and(|pod| pod.stages.spends_no_more());
            if matches!(hold, Hold::BudgetExhausted(_)) && judged {
                let goes_on = state.remains == Remains::Nothing;
                spared.extend(state.pod.filter(|_| goes_on).map(|pod| pod.id.clone()));
            } else if state.phase == Phase::Active && state.work == KeptWork::Stored {
                world::pause(state, reason, &message, self.assessment.snapshot.now);
            } else if state.phase == Phase::Active {
                world::suspend(state, reason, &message, self.assessment.snapshot.now);
            }
        }
        self.write_worlds(plan);
        self.sweep(plan);
        plan.effects.retain(|effect| !matches!(effect, Effect::DeletePod { pod, .. } if spared.contains(pod)));
        status::held(&self.assessment, (reason, &message), plan);
        if matches!(hold, Hold::BudgetExhausted(_)) {
            starting::judge_base(&self.assessment, 0, plan, earliest);
            starting::judge(&self.assessment, plan, earliest);
            earliest.note(self.assessment.snapshot.now + signed(MODEL_INTERVAL));
        }
    }

    fn end(mut self, end: &End, plan: &mut Plan) {
        for state in &mut self.assessment.worlds {
            if state.phase != Phase::Ended && state.world.is_some() {
                world_status::cut(&mut state.status, &end.cut_message(), self.assessment.snapshot.now);
                state.change = Change::Ended;
                state.phase = Phase::Ended;
            }
        }
        self.write_worlds(plan);
        self.sweep(plan);
        status::ended(&self.assessment, end, plan);
    }

    fn proceed(mut self, grant: Grant, plan: &mut Plan, earliest: &mut Earliest) {
        self.put_off_progress(plan, earliest);
        self.write_worlds(plan);
        for state in &self.assessment.worlds {
            earliest.note_some(state.look_again);
            let (Some(pod), grace) = (state.pod, grace(state.remains)) else { continue };
            if let Some(grace) = grace {
                plan.effects.push(Effect::DeletePod { pod: pod.id.clone(), grace });
            }
        }
        let baseline = &self.assessment.baseline;
        if let (Some(pod), Some(grace)) = (baseline.pod, grace(baseline.remains)) {
            plan.effects.push(Effect::DeletePod { pod: pod.id.clone(), grace });
        }
        let taken = starting::judge_base(&self.assessment, grant.slots, plan, earliest);
        let grant = Grant { slots: grant.slots - taken, ..grant };
        starting::judge(&self.assessment, plan, earliest);
        let startable = starting::startable(&self.assessment);
        for state in self.assessment.worlds.iter().filter(|state| !startable.contains(&state.index)) {
            if let Phase::Idle { not_before: Some(time) } = state.phase
                && time > self.assessment.snapshot.now
            {
                earliest.note(time);
            }
        }
        let starting = starting::start(&self.assessment, &startable, grant, plan);
        let grant = if startable.len() > starting.len() { grant } else { grant.without_queue() };
        if let Some(refusal) = &self.assessment.snapshot.refusal {
            let now = self.assessment.snapshot.now;
            // Once these were taken, more may be tried. Nothing that is seen of them says so.
            earliest.note_some(refusal.retry_after(now).or_else(|| (!starting.is_empty()).then_some(now)));
        }
        status::active(&self.assessment, &starting, grant, plan);
        self.assessment.note_deadlines(earliest);
        let models = &self.assessment.snapshot.models;
        if models.unavailable.is_some() || longest_limited(&models.waits, self.assessment.snapshot.now).is_some() {
            // Nobody tells when that is over.
            earliest.note(self.assessment.snapshot.now + signed(MODEL_INTERVAL));
        }
    }

    /// Lets Worlds whose status would only show how far they are wait for their turn.
    fn put_off_progress(&mut self, plan: &mut Plan, earliest: &mut Earliest) {
        for state in self.assessment.worlds.iter_mut().filter(|state| state.shows_progress_only()) {
            if plan.progress_writes < self.assessment.snapshot.progress_writes {
                plan.progress_writes += 1;
            } else {
                state.change = Change::None;
                earliest
                    .note(self.assessment.snapshot.now + signed(self.assessment.snapshot.settings.progress_interval));
            }
        }
    }

    fn write_worlds(&mut self, plan: &mut Plan) {
        for state in &self.assessment.worlds {
            let (Some(world), true) = (state.world, state.change != Change::None) else { continue };
            // The Worlds that run again have a patch each; the first one brings the Event.
            let events = failure_event(state).into_iter().chain(self.fallback_event.take()).collect();
            plan.effects.push(Effect::PatchWorld(Box::new(WorldPatch {
                world: world.clone(),
                status: state.status.clone(),
                events,
            })));
        }
    }
}

/// Returns the Event of a World that fails now.
fn failure_event(state: &WorldState<'_>) -> Option<Event> {
    (state.change == Change::Ended && state.status.stage == Some(WorldStage::Failed)).then(|| Event {
        kind: EventKind::Warning,
        reason: Reason::WorkerFailed,
        action: "Evaluate",
        message: format!(
            "World {} failed: {}",
            state.variant.name,
            state.status.message.as_deref().unwrap_or_default()
        ),
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
