//! The state of one attempt, read from its pod.

use jiff::Timestamp;
use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::result::{Collection, FailureClass, StageFailure, StageReport, WorkerReport, WorldResult};
use manyworlds_api::world::WorldStage;

use crate::observation::{OUT_OF_MEMORY, OrderPod, PodPhase, Presence, StageState, Stages};
use crate::policy::deadlines::signed;
use crate::role::{BaseAccess, Leaves, Stage};
use crate::snapshot::Settings;

/// The state of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptState {
    /// Its pod lives.
    Active(ActiveAttempt),
    /// Its pod is being deleted and has not said how it ended.
    Ending,
    /// It is over.
    Ended(Box<AttemptEnd>),
}

/// A living attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAttempt {
    /// The stage that runs.
    pub stage: WorldStage,
    /// Since when it does that.
    pub since: Option<Timestamp>,
    /// The trouble that keeps it from starting.
    pub trouble: Option<Trouble>,
    /// The time at which it is given up if it has not started.
    pub give_up: Option<Timestamp>,
}

/// The trouble that keeps a pod from starting, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word.
    pub reason: Reason,
    /// One sentence.
    pub message: String,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptEnd {
    /// The reason for which it gave no result; absent when it gave one.
    pub failure: Option<AttemptFailure>,
    /// Its result.
    pub result: Option<WorldResult>,
    /// What its worker left, once that is stored.
    pub collection: Option<Collection>,
    /// The report of its worker.
    pub worker: Option<WorkerReport>,
    /// The commit that it started from.
    pub base_commit: Option<String>,
    /// Exit code of the container that ended it.
    pub exit_code: Option<i32>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
    /// Whether its pod still has to be removed, because it cannot end by itself.
    pub remains: Remains,
    /// How many evaluations its change took.
    pub evaluations: i32,
    /// Whether the World may be worked anew after it.
    pub anew: Anew,
}

/// Whether a World may be worked anew after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// The rules for retries decide.
    ByRules,
    /// It may not: its work is done, and cannot be judged.
    Never,
}

impl AttemptState {
    /// Returns the attempt as it counts where a budget is used up: a worker that fails then was refused, and had no chance.
    pub(crate) fn without_money(mut self, what: &str) -> Self {
        if let Self::Ended(end) = &mut self
            && let Some(failure) = &mut end.failure
            && failure.class == FailureClass::Worker
        {
            failure.class = FailureClass::Cancelled;
            failure.reason = Reason::BudgetExhausted;
            failure.message = format!("{what} was used up; {}", failure.message);
        }
        self
    }
}

/// Whether the pod of an ended attempt has to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// It has ended, or is gone.
    Nothing,
    /// It still waits to start, or would stay as it is.
    Pod,
    /// It is on a lost node.
    PodOnLostNode,
}

/// The reason for which an attempt gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptFailure {
    /// Class of the failure.
    pub class: FailureClass,
    /// One word.
    pub reason: Reason,
    /// One sentence that says what to do.
    pub message: String,
}

impl AttemptFailure {
    fn new(class: FailureClass, reason: Reason, message: impl Into<String>) -> Self {
        Self { class, reason, message: shortened(&message.into(), 512) }
    }

    /// Takes over what a stage reported. It comes from a pod, so a word that is none of ours is not passed on.
    fn reported(failure: &StageFailure) -> Self {
        let known = Reason::ALL.iter().copied().find(|reason| reason.as_str() == failure.reason);
        Self::new(failure.class, known.unwrap_or(Reason::Unexpected), failure.message.as_str())
    }
}

/// Reads what has become of an attempt from its pod.
///
/// - **Guarantees:** a result that is in the pod is never lost, however the pod itself ended.
pub(crate) fn observe(pod: &OrderPod, on_lost_node: NodeState, settings: &Settings, now: Timestamp) -> AttemptState {
    let end = |failure, exit_code, remains| ended(pod, failure, exit_code, remains, now);
    if let StageState::Ended { exit_code: 0, message, .. } = pod.stages.last() {
        return AttemptState::Ended(Box::new(ended_well(pod, message, now)));
    }
    if let Some(failure) = pod_failure(pod) {
        return end(failure, None, Remains::Nothing);
    }
    if let Some((container, exit_code, failure)) = stage_failure(&pod.stages) {
        let failure = if failure.class == FailureClass::Cancelled { deleted(pod, container) } else { failure };
        let remains = if exit_code == 0 { Remains::Pod } else { Remains::Nothing };
        return end(failure, Some(exit_code), remains);
    }
    if pod.presence == Presence::Gone {
        return end(deleted(pod, "its"), None, Remains::Nothing);
    }
    if on_lost_node == NodeState::Lost {
        let node = pod.node.as_deref().unwrap_or("its node");
        let message = format!("node {node} does not answer or is gone; the World starts again on another one");
        let failure = AttemptFailure::new(FailureClass::Infrastructure, Reason::NodeLost, message);
        return end(failure, None, Remains::PodOnLostNode);
    }
    if pod.presence == Presence::Terminating {
        return AttemptState::Ending;
    }
    active(pod, settings, now)
}

/// Whether the node of a pod answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// It does, or the pod has none yet.
    Answers,
    /// It does not, or is gone.
    Lost,
}

fn ended(
    pod: &OrderPod,
    failure: AttemptFailure,
    exit_code: Option<i32>,
    remains: Remains,
    now: Timestamp,
) -> AttemptState {
    AttemptState::Ended(Box::new(AttemptEnd { exit_code, remains, ..end_of(pod, Some(failure), now) }))
}

/// Returns the end of an attempt as far as its pod tells it whatever came of it.
fn end_of(pod: &OrderPod, failure: Option<AttemptFailure>, now: Timestamp) -> AttemptEnd {
    AttemptEnd {
        failure,
        result: None,
        collection: None,
        worker: reported(&pod.stages, |report| report.worker),
        base_commit: reported(&pod.stages, |report| report.base_commit),
        exit_code: None,
        started: started(&pod.stages),
        finished: finished(&pod.stages).unwrap_or(now),
        remains: Remains::Nothing,
        evaluations: 0,
        anew: Anew::ByRules,
    }
}

/// Reads the end of a pod whose last stage ended well. A role takes from it what its last stage leaves, and nothing else.
fn ended_well(pod: &OrderPod, message: &str, now: Timestamp) -> AttemptEnd {
    let mut end = AttemptEnd { exit_code: Some(0), ..end_of(pod, None, now) };
    let StageReport { failure, base_commit, collection, result, .. } = match StageReport::from_message(message) {
        Ok(report) => report,
        Err(error) => return AttemptEnd { failure: Some(unreadable(&error.to_string())), ..end },
    };
    let is_there = match pod.role().leaves {
        Leaves::Collection => {
            end.collection = collection;
            end.collection.is_some()
        }
        Leaves::Result => {
            end.result = result;
            end.result.is_some()
        }
    };
    if is_there {
        end.base_commit = base_commit.or(end.base_commit);
        if end.collection.is_some() && end.base_commit.is_none() {
            end.collection = None;
            end.failure = Some(unreadable("no report of the pod names the commit that its World started from"));
        }
        return end;
    }
    let silent = || unreadable("the report of the last stage holds nothing that can be judged");
    end.failure = Some(failure.as_ref().map_or_else(silent, AttemptFailure::reported));
    end
}

fn unreadable(why: &str) -> AttemptFailure {
    AttemptFailure::new(FailureClass::Evaluation, Reason::ResultUnreadable, why)
}

/// Returns why the pod as a whole has ended, where the kubelet or somebody else ended it.
fn pod_failure(pod: &OrderPod) -> Option<AttemptFailure> {
    let said = pod.message.as_deref().unwrap_or("no reason was given");
    let infrastructure = |reason, message| Some(AttemptFailure::new(FailureClass::Infrastructure, reason, message));
    match pod.reason.as_deref() {
        Some("Evicted") if filled_its_disk(pod, said) => {
            let advice = "raise worlds.sizing.perWorld.ephemeralStorage if the task needs more";
            let message = format!("the World filled its disk and was evicted; {advice} ({said})");
            let class = match pod.role().leaves {
                Leaves::Collection => FailureClass::Worker,
                Leaves::Result => FailureClass::Evaluation,
            };
            Some(AttemptFailure::new(class, Reason::Evicted, message))
        }
        Some("Evicted") => infrastructure(Reason::Evicted, format!("the pod was evicted: {said}")),
        Some("DeadlineExceeded") => {
            infrastructure(Reason::Overdue, "the pod outlived all its time-outs and was ended".to_owned())
        }
        Some(reason @ ("NodeLost" | "NodeAffinity" | "NodeShutdown" | "Terminated" | "Shutdown")) => {
            infrastructure(Reason::NodeLost, format!("the node gave the pod up ({reason}): {said}"))
        }
        Some(
            reason @ ("Preempting"
            | "UnexpectedAdmissionError"
            | "OutOfcpu"
            | "OutOfmemory"
            | "OutOfephemeral-storage"
            | "OutOfpods"),
        ) => infrastructure(Reason::Evicted, format!("the node refused the pod ({reason}): {said}")),
        _ if pod.conditions.iter().any(|kind| kind == "DisruptionTarget") && pod.phase == PodPhase::Failed => {
            infrastructure(Reason::Evicted, format!("the pod had to make room: {said}"))
        }
        _ if pod.phase == PodPhase::Failed && !pod.stages.in_order().any(|(_, state)| state.has_failed()) => {
            infrastructure(Reason::Unexpected, format!("the pod failed and no container says why: {said}"))
        }
        _ if pod.phase == PodPhase::Succeeded && !pod.stages.last().has_ended() => {
            let message = "the pod has ended without its last stage; another version of the operator has made it";
            infrastructure(Reason::Unexpected, message.to_owned())
        }
        _ => None,
    }
}

/// Returns whether a pod was evicted for what its own worker or gates wrote, and not because its node ran out of something:
/// that counts, or a World could go on for ever by filling its disk.
fn filled_its_disk(pod: &OrderPod, said: &str) -> bool {
    let said = said.to_lowercase();
    pod.stages.has_begun_work() && said.contains("exceeds") && (said.contains("ephemeral") || said.contains("emptydir"))
}

/// Returns the first stage that failed, with its exit code and the reason.
fn stage_failure(stages: &Stages) -> Option<(&'static str, i32, AttemptFailure)> {
    stages.in_order().find_map(|(stage, state)| match state {
        StageState::Ended { exit_code, reason, message, .. } if state.has_failed() => {
            Some((stage.container, *exit_code, classified(stage, *exit_code, reason, message)))
        }
        _ => None,
    })
}

fn classified(stage: &Stage, exit_code: i32, reason: &str, message: &str) -> AttemptFailure {
    let Stage { container, failure_class: class, .. } = *stage;
    if reason == OUT_OF_MEMORY {
        let advice = "raise worlds.sizing.perWorld.memory";
        let message = format!("the stage {container} used more memory than it may; {advice}");
        return AttemptFailure::new(class, Reason::OutOfMemory, message);
    }
    if matches!(reason, "StartError" | "ContainerCannotRun") {
        let message = format!("the container {container} could not be started: {message}");
        return AttemptFailure::new(FailureClass::Spec, Reason::ContainerCreationFailed, message);
    }
    match StageReport::from_message(message) {
        Ok(StageReport { failure: Some(failure), .. }) => AttemptFailure::reported(&failure),
        _ => AttemptFailure::new(
            class,
            Reason::ResultUnreadable,
            format!("the stage {container} ended with exit code {exit_code} and left no report; see its log"),
        ),
    }
}

fn deleted(pod: &OrderPod, container: &str) -> AttemptFailure {
    let message = format!("somebody deleted pod {} before {container} stage had ended", pod.name());
    AttemptFailure::new(FailureClass::Infrastructure, Reason::PodDeleted, message)
}

/// The factor by which a pod may take longer to start while nothing is known to be wrong: a large image is being pulled.
const PATIENCE: i32 = 5;

fn active(pod: &OrderPod, settings: &Settings, now: Timestamp) -> AttemptState {
    let (stage, since) = current_stage(&pod.stages);
    if pod.stages.in_order().any(|(_, state)| state.is_running()) {
        return AttemptState::Active(ActiveAttempt { stage, since, trouble: None, give_up: None });
    }
    // Nothing runs: either the pod has not started, or the container that comes next cannot.
    let trouble = start_trouble(pod);
    let limit = signed(settings.start_timeout) * if trouble.is_some() { 1 } else { PATIENCE };
    let waits_since = since.unwrap_or(pod.created);
    let give_up = waits_since + limit;
    let hopeless = trouble.is_some() && has_invalid_image(pod);
    if !hopeless && give_up > now {
        let (since, give_up) = (Some(waits_since), Some(give_up));
        return AttemptState::Active(ActiveAttempt { stage, since, trouble, give_up });
    }
    let class = if hopeless { FailureClass::Spec } else { FailureClass::Infrastructure };
    let trouble = trouble.unwrap_or_else(|| Trouble {
        reason: Reason::Starting,
        message: format!(
            "its pod has not started for too long; 'kubectl describe pod {}' shows what it waits for",
            pod.name()
        ),
    });
    let failure = AttemptFailure::new(class, trouble.reason, trouble.message);
    ended(pod, failure, None, Remains::Pod, now)
}

/// Returns whether an image has a name that no amount of waiting can make right.
fn has_invalid_image(pod: &OrderPod) -> bool {
    pod.stages
        .in_order()
        .any(|(_, state)| matches!(state, StageState::Waiting { reason, .. } if reason == "InvalidImageName"))
}

/// Returns the stage that runs, or that comes next, and since when it does that.
fn current_stage(stages: &Stages) -> (WorldStage, Option<Timestamp>) {
    let mut latest = (WorldStage::Starting, None);
    let mut order = stages.in_order().peekable();
    while let Some((stage, state)) = order.next() {
        match state {
            StageState::Running { since } => latest = (stage.shown_as, *since),
            // Between two stages the next one is shown, since the end of the one before.
            StageState::Ended { finished, .. } => {
                latest = (order.peek().map_or(stage, |(next, _)| next).shown_as, *finished);
            }
            StageState::Pending | StageState::Waiting { .. } => {}
        }
    }
    latest
}

fn start_trouble(pod: &OrderPod) -> Option<Trouble> {
    if pod.node.is_none()
        && let Some(message) = &pod.unschedulable
    {
        return Some(Trouble {
            reason: Reason::Unschedulable,
            message: format!(
                "no node takes its pod: {message}; make room, ask for less in worlds.sizing.perWorld, or change worker.podTemplate"
            ),
        });
    }
    waiting_trouble(pod)
}

fn waiting_trouble(pod: &OrderPod) -> Option<Trouble> {
    pod.stages.in_order().find_map(|(stage, state)| {
        let StageState::Waiting { reason, message } = state else { return None };
        let container = stage.container;
        match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RegistryUnavailable"
            | "ImageInspectError" => Some(Trouble {
                reason: Reason::ImagePullFailed,
                message: format!(
                    "the image of {container} cannot be pulled: {message}; check its name, the registry, and worker.podTemplate.imagePullSecrets"
                ),
            }),
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Some(Trouble {
                reason: Reason::ContainerCreationFailed,
                message: format!("the container {container} cannot be made: {message}"),
            }),
            _ => None,
        }
    })
}

/// Returns a part of the stages' reports, from the first stage that has it: no stage can replace what an earlier one said.
fn reported<T>(stages: &Stages, part: impl Fn(StageReport) -> Option<T>) -> Option<T> {
    stages.in_order().find_map(|(_, state)| match state {
        StageState::Ended { message, .. } => part(StageReport::from_message(message).ok()?),
        _ => None,
    })
}

/// Returns the commit that a pod's order starts from, once a stage that stores it says that it has.
pub(crate) fn stored_base(pod: &OrderPod) -> Option<String> {
    let stores = pod.role().stages.iter().any(|stage| stage.base == BaseAccess::Stores);
    if stores { reported(&pod.stages, |report| report.base_commit) } else { None }
}

fn started(stages: &Stages) -> Option<Timestamp> {
    stages.in_order().filter_map(|(_, state)| state.started()).min()
}

fn finished(stages: &Stages) -> Option<Timestamp> {
    stages.in_order().filter_map(|(_, state)| state.finished()).max()
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
