//! The permissions of an attempt, by the last seen state of its order, its World and its pod.
//!
//! A stage may have begun or ended some moments before the watch shows it: the kubelet reports it afterwards. What is refused
//! here is therefore only what is certainly over, or certainly cannot have begun.

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::conditions::{Truth, WorldCondition, truth};
use manyworlds_planner::observation::{Presence, StageState};
use manyworlds_planner::role::ModelCalls;

use crate::index::lookup::Attempt;

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// It is.
    Granted,
    /// The stage that may do it has not begun, as far as the kubelet has reported.
    NotYet,
    /// The stage, the attempt or the order is over or stopped. This never changes back for the same pod while it is stopped.
    Over,
}

impl Attempt {
    /// Returns whether the attempt may call models: while its order goes on and the stage that may call them runs.
    ///
    /// That stage alone has the token. The kubelet reports that a stage has ended before it starts the next one, and a report
    /// may arrive late, so a call that comes while an earlier stage is seen to run has to wait for the next report. Where
    /// nothing is reported yet of any container, nothing speaks against the token.
    pub(crate) fn may_call_models(&self) -> Permission {
        if !self.order_goes_on() || !self.is_current() {
            return Permission::Over;
        }
        let mut permission = Permission::Granted;
        for (stage, state) in self.pod.stages.in_order() {
            if stage.models == ModelCalls::Allowed {
                return if state.has_ended() { Permission::Over } else { permission };
            }
            match state {
                failed if failed.has_failed() => return Permission::Over,
                StageState::Running { .. } | StageState::Waiting { .. } => permission = Permission::NotYet,
                StageState::Pending | StageState::Ended { .. } => {}
            }
        }
        Permission::Over
    }

    /// Returns whether the attempt may say which commit its order starts from: until its first stage has ended.
    pub(crate) fn may_pin_base(&self) -> bool {
        self.may_store_at_all() && self.pod.stages.in_order().next().is_some_and(|(_, state)| !state.has_ended())
    }

    /// Returns whether the attempt may store an artifact: until the stage that writes it has ended.
    pub(crate) fn may_store(&self, artifact: ArtifactName) -> bool {
        let mut writers = self.pod.stages.in_order().filter(|(stage, _)| stage.stores.contains(&artifact));
        self.may_store_at_all() && writers.any(|(_, state)| !state.has_ended())
    }

    fn may_store_at_all(&self) -> bool {
        let conditions = self.world.status.as_ref().map_or(&[][..], |status| status.conditions.as_slice());
        let is_finished = truth(conditions, WorldCondition::Finished.as_str()) == Truth::True;
        self.is_running() && !is_finished
    }

    /// Returns whether the order may still spend.
    fn order_goes_on(&self) -> bool {
        let order = &self.order;
        order.metadata.deletion_timestamp.is_none() && !order.spec.suspend && !order.spec.cancel && !order.is_finished()
    }

    /// Returns whether the attempt is the present one of its World and not over.
    fn is_current(&self) -> bool {
        let recorded = self.world.status.as_ref().map_or(0, |status| status.attempt_count);
        self.world.metadata.deletion_timestamp.is_none() && self.pod.attempt > recorded && self.is_running()
    }

    /// Returns whether the pod is there and a container of it may run.
    fn is_running(&self) -> bool {
        self.pod.presence == Presence::Present && !self.pod.phase.is_terminal()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use manyworlds_planner::observation::{OrderPod, PodPhase, Stages};
    use manyworlds_planner::role::WORK;
    use serde_json::json;

    use super::*;
    use crate::index::OrderKey;
    use crate::index::fixtures::{at_work, order, world};

    fn attempt(change: impl FnOnce(&mut OrderPod)) -> Attempt {
        let (order, mut pod) = (order(json!({})), at_work());
        change(&mut pod);
        Attempt {
            key: OrderKey::of(order.id()),
            order: Arc::new(order),
            world: Arc::new(world("alpha", 0, json!({}))),
            pod: Arc::new(pod),
        }
    }

    fn ended(exit_code: i32) -> StageState {
        let (reason, message) = <_>::default();
        StageState::Ended { exit_code, reason, message, started: None, finished: None }
    }

    #[test]
    fn a_worker_may_call_models_while_its_stage_runs_and_not_before_or_after() {
        type Change = fn(&mut OrderPod);
        let cases: [(&str, Change, Permission); 9] = [
            ("work runs", |_| {}, Permission::Granted),
            ("work is not reported yet", |pod| pod.stages.set("work", StageState::Pending), Permission::Granted),
            ("nothing is reported yet", |pod| pod.stages = Stages::new(&WORK), Permission::Granted),
            ("prepare runs", |pod| pod.stages.set("prepare", StageState::Running { since: None }), Permission::NotYet),
            ("prepare has failed", |pod| pod.stages.set("prepare", ended(1)), Permission::Over),
            ("work has ended well", |pod| pod.stages.set("work", ended(0)), Permission::Over),
            ("work has failed", |pod| pod.stages.set("work", ended(1)), Permission::Over),
            ("the pod has ended", |pod| pod.phase = PodPhase::Failed, Permission::Over),
            ("the pod is being deleted", |pod| pod.presence = Presence::Terminating, Permission::Over),
        ];
        for (what, change, expected) in cases {
            assert_eq!(attempt(change).may_call_models(), expected, "{what}");
        }
    }

    #[test]
    fn a_worker_may_not_call_models_for_an_order_that_stands_still() {
        for field in ["suspend", "cancel"] {
            let mut attempt = attempt(|_| {});
            let mut spec = json!(attempt.order.spec);
            spec[field] = json!(true);
            let mut order = order(json!({}));
            order.object_mut().spec = serde_json::from_value(spec).unwrap();
            attempt.order = Arc::new(order);
            assert_eq!(attempt.may_call_models(), Permission::Over, "{field}");
        }
        let finished = json!({ "conditions": [{
            "type": "Finished", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-01-01T00:00:09Z",
        }] });
        let with_order = Attempt { order: Arc::new(order(finished.clone())), ..attempt(|_| {}) };
        assert_eq!(with_order.may_call_models(), Permission::Over, "the order has finished");
        let recorded = Arc::new(world("alpha", 0, json!({ "attemptCount": 1 })));
        let recorded = Attempt { world: recorded, ..attempt(|_| {}) };
        assert_eq!(recorded.may_call_models(), Permission::Over, "the attempt is recorded");
    }

    #[test]
    fn a_stage_stores_what_is_its_own_and_only_until_it_has_ended() {
        let all = |attempt: &Attempt| ArtifactName::ALL.map(|name| attempt.may_store(name));
        let preparing = attempt(|pod| pod.stages.set("prepare", StageState::Running { since: None }));
        assert!(preparing.may_pin_base() && preparing.may_store(ArtifactName::PrepareLog));

        let working = attempt(|_| {});
        assert!(!working.may_pin_base() && !working.may_store(ArtifactName::PrepareLog), "prepare has ended");
        // The stage that judges may have begun before it is reported.
        assert!(working.may_store(ArtifactName::Patch) && working.may_store(ArtifactName::Report));

        let judged = attempt(|pod| ["work", "evaluate"].into_iter().for_each(|stage| pod.stages.set(stage, ended(0))));
        assert_eq!(all(&judged), [false; 6], "every stage has ended");
        assert_eq!(all(&attempt(|pod| pod.presence = Presence::Gone)), [false; 6], "the pod is gone");
        let finished = json!({ "conditions": [{
            "type": "Finished", "status": "True", "reason": "Scored", "message": "", "lastTransitionTime": "2026-01-01T00:00:09Z",
        }] });
        let finished = Attempt { world: Arc::new(world("alpha", 0, finished)), ..attempt(|_| {}) };
        assert_eq!(all(&finished), [false; 6], "the World has finished");
    }
}
