//! The permissions of an attempt, by the last seen state of its order, its World and its pod; and those of a pod that an order
//! itself owns.
//!
//! A stage may have begun or ended some moments before the watch shows it: the kubelet reports it afterwards. What is refused
//! here is therefore only what is certainly over, or certainly cannot have begun.

use manyworlds_api::WorkOrder;
use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::conditions::{Truth, WorldCondition, truth};
use manyworlds_planner::observation::{OrderPod, Presence, StageState};
use manyworlds_planner::role::{BaseAccess, BaselineAccess, ModelCalls, Stage};

use crate::index::lookup::{Attempt, OwnPod};

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

    /// Returns whether the pod may say which commit its order starts from, and store the bundle of it.
    pub(crate) fn may_store_base(&self) -> bool {
        self.has_stage(|stage| stage.base == BaseAccess::Stores)
    }

    /// Returns whether the pod may read the bundle of its order.
    pub(crate) fn may_read_base(&self) -> bool {
        self.has_stage(|stage| stage.base == BaseAccess::Reads)
    }

    /// Returns whether the pod may read what the gates of its order give at the base.
    pub(crate) fn may_read_baseline(&self) -> bool {
        self.has_stage(|stage| stage.baseline == BaselineAccess::Reads)
    }

    /// Returns whether the pod may store an artifact of its attempt.
    pub(crate) fn may_store(&self, artifact: ArtifactName) -> bool {
        self.has_stage(|stage| stage.stores.contains(&artifact))
    }

    /// Returns whether the pod may read an artifact of its attempt.
    pub(crate) fn may_read(&self, artifact: ArtifactName) -> bool {
        self.has_stage(|stage| stage.reads.contains(&artifact))
    }

    /// Returns whether the pod has a stage that may do something and has not ended.
    fn has_stage(&self, may: impl Fn(&Stage) -> bool) -> bool {
        self.may_use_artifacts() && has_stage(&self.pod, may)
    }

    fn may_use_artifacts(&self) -> bool {
        let conditions = self.world.status.as_ref().map_or(&[][..], |status| status.conditions.as_slice());
        let is_finished = truth(conditions, WorldCondition::Finished.as_str()) == Truth::True;
        is_running(&self.pod) && !is_finished
    }

    /// Returns whether the order may still spend.
    fn order_goes_on(&self) -> bool {
        goes_on(&self.order)
    }

    /// Returns whether the attempt is the present one of its World and not over.
    fn is_current(&self) -> bool {
        let recorded = self.world.status.as_ref().map_or(0, |status| status.attempt_count);
        self.world.metadata.deletion_timestamp.is_none() && self.pod.attempt > recorded && is_running(&self.pod)
    }
}

impl OwnPod {
    /// Returns whether the pod may read the bundle of its order.
    pub(crate) fn may_read_base(&self) -> bool {
        self.may(|stage| stage.base == BaseAccess::Reads)
    }

    /// Returns whether the pod may store what the gates of its order give at the base.
    pub(crate) fn may_store_baseline(&self) -> bool {
        self.may(|stage| stage.baseline == BaselineAccess::Stores)
    }

    fn may(&self, may: impl Fn(&Stage) -> bool) -> bool {
        goes_on(&self.order) && is_running(&self.pod) && has_stage(&self.pod, may)
    }
}

/// Returns whether an order is not over and not stopped.
fn goes_on(order: &WorkOrder) -> bool {
    order.metadata.deletion_timestamp.is_none() && !order.spec.suspend && !order.spec.cancel && !order.is_finished()
}

/// Returns whether a pod is there and a container of it may run.
fn is_running(pod: &OrderPod) -> bool {
    pod.presence == Presence::Present && !pod.phase.is_terminal()
}

/// Returns whether a pod has a stage that may do something and has not ended.
fn has_stage(pod: &OrderPod, may: impl Fn(&Stage) -> bool) -> bool {
    pod.stages.in_order().any(|(stage, state)| may(stage) && !state.has_ended())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use manyworlds_planner::observation::{OrderPod, PodPhase, Stages};
    use manyworlds_planner::role::WORK;
    use serde_json::json;

    use super::*;
    use crate::index::OrderKey;
    use crate::index::fixtures::{at_work, judged, judged_base, order, world};

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

    /// Returns the artifacts that a pod may store, and those that it may read.
    fn artifacts(attempt: &Attempt) -> (Vec<ArtifactName>, Vec<ArtifactName>) {
        let names = ArtifactName::ALL.into_iter();
        (
            names.clone().filter(|name| attempt.may_store(*name)).collect(),
            names.filter(|name| attempt.may_read(*name)).collect(),
        )
    }

    #[test]
    fn a_stage_stores_what_is_its_own_and_only_until_it_has_ended() {
        use ArtifactName::{Change, PrepareLog, Transcript, WorkLog};
        let preparing = attempt(|pod| pod.stages.set("prepare", StageState::Running { since: None }));
        assert!(preparing.may_store_base() && preparing.may_store(PrepareLog));

        let working = attempt(|_| {});
        assert!(!working.may_store_base() && !working.may_store(PrepareLog), "prepare has ended");
        // The stage that takes what the worker left may have begun before it is reported.
        assert_eq!(artifacts(&working), (vec![Change, WorkLog, Transcript], vec![]));

        let collected =
            attempt(|pod| ["work", "collect"].into_iter().for_each(|stage| pod.stages.set(stage, ended(0))));
        assert_eq!(artifacts(&collected), (vec![], vec![]), "every stage has ended");
        assert_eq!(artifacts(&attempt(|pod| pod.presence = Presence::Gone)), (vec![], vec![]), "the pod is gone");
        let finished = json!({ "conditions": [{
            "type": "Finished", "status": "True", "reason": "Scored", "message": "", "lastTransitionTime": "2026-01-01T00:00:09Z",
        }] });
        let finished = Attempt { world: Arc::new(world("alpha", 0, finished)), ..attempt(|_| {}) };
        assert_eq!(artifacts(&finished), (vec![], vec![]), "the World has finished");
    }

    /// W14: what is judged is neither made nor changed by who judges it, and who works reads nothing back.
    #[test]
    fn a_pod_that_judges_reads_the_base_and_the_change_and_stores_the_evidence() {
        use ArtifactName::{Change, EvaluateLog, Patch, Report};
        let judging = attempt(|pod| *pod = judged());
        assert_eq!(artifacts(&judging), (vec![Patch, Report, EvaluateLog], vec![Change]));
        assert!(judging.may_read_base() && !judging.may_store_base());
        assert_eq!(judging.may_call_models(), Permission::Over);

        let preparing = attempt(|pod| pod.stages.set("prepare", StageState::Running { since: None }));
        assert!(!preparing.may_read_base() && !preparing.may_read(Change));
        let over = attempt(|pod| {
            *pod = judged();
            pod.stages.set("judge", ended(0));
        });
        assert!(!over.may_read_base() && !over.may_read(Change), "every stage has ended");
    }

    #[test]
    fn only_a_pod_that_judges_reads_what_the_gates_give_at_the_base() {
        assert!(attempt(|pod| *pod = judged()).may_read_baseline());
        assert!(!attempt(|_| {}).may_read_baseline(), "who works could learn what is asked of it");
    }

    /// W14: what all Worlds are held against is stored by nobody but the pod that has judged the base, and only while it does.
    #[test]
    fn a_pod_that_judges_the_base_reads_it_and_stores_what_the_gates_give() {
        let own = |change: fn(&mut OrderPod), order_status: serde_json::Value| {
            let (order, mut pod) = (order(order_status), judged_base());
            change(&mut pod);
            OwnPod { key: OrderKey::of(order.id()), order: Arc::new(order), pod: Arc::new(pod) }
        };
        let may = |own: OwnPod| (own.may_read_base(), own.may_store_baseline());
        assert_eq!(may(own(|_| {}, json!({}))), (false, true), "the checkout is done");
        let checking = |pod: &mut OrderPod| pod.stages.set("checkout", StageState::Running { since: None });
        assert_eq!(may(own(checking, json!({}))), (true, true), "what is reported may be late");
        assert_eq!(may(own(|pod| pod.stages.set("judge", ended(0)), json!({}))), (false, false), "it has ended");
        assert_eq!(may(own(|pod| pod.presence = Presence::Terminating, json!({}))), (false, false), "it is told to go");
        let finished = json!({ "conditions": [{
            "type": "Finished", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-01-01T00:00:09Z",
        }] });
        assert_eq!(may(own(|_| {}, finished)), (false, false), "the order is over");
    }
}
