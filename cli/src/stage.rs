//! The stages of a World and the progress of its pods through them.

use clap::ValueEnum;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;
use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::labels;

/// A stage of a World, as people see it. Its log is that of one container; a container beside that one prints little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Fetches the repository.
    Prepare,
    /// Runs the worker.
    Work,
    /// Runs the gates.
    Evaluate,
}

/// The containers of a pod in which a World works, with the stages that they are shown as, in the order in which they run.
const WORK_CONTAINERS: [(&str, Stage); 3] =
    [(labels::PREPARE, Stage::Prepare), (labels::WORK, Stage::Work), (labels::COLLECT, Stage::Work)];
/// The same of a pod that judges it.
const EVALUATION_CONTAINERS: [(&str, Stage); 2] =
    [(labels::CHECKOUT, Stage::Evaluate), (labels::JUDGE, Stage::Evaluate)];

impl Stage {
    /// Returns the word by which people ask for the stage.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Work => "work",
            Self::Evaluate => "evaluate",
        }
    }

    /// Returns the name of the container whose log is that of the stage.
    pub const fn container(self) -> &'static str {
        match self {
            Self::Prepare => labels::PREPARE,
            Self::Work => labels::WORK,
            Self::Evaluate => labels::JUDGE,
        }
    }

    /// Returns whether a pod is one of those that the stage runs in.
    pub fn runs_in(self, pod: &Pod) -> bool {
        containers(pod).iter().any(|(_, stage)| *stage == self)
    }

    /// Returns the name of the artifact that keeps the stage's log.
    pub const fn log(self) -> ArtifactName {
        match self {
            Self::Prepare => ArtifactName::PrepareLog,
            Self::Work => ArtifactName::WorkLog,
            Self::Evaluate => ArtifactName::EvaluateLog,
        }
    }
}

/// The state of one stage of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageState {
    /// The container has not started; the text is the reason, or empty.
    Waiting(String),
    /// The container runs.
    Running,
    /// The container has ended.
    Ended,
}

/// Returns whether a pod judges a World; it works for one otherwise.
pub fn is_evaluation(pod: &Pod) -> bool {
    pod.labels().contains_key(labels::EVALUATION)
}

fn containers(pod: &Pod) -> &'static [(&'static str, Stage)] {
    if is_evaluation(pod) { &EVALUATION_CONTAINERS } else { &WORK_CONTAINERS }
}

/// Returns whether a pod that judges comes after this one, which has ended.
pub fn is_followed(pod: &Pod) -> bool {
    !is_evaluation(pod) && phase(pod) == Some("Succeeded")
}

/// Returns the state of one stage of a pod.
pub fn stage_state(pod: &Pod, stage: Stage) -> StageState {
    container_state(pod, stage.container())
}

fn container_state(pod: &Pod, container: &str) -> StageState {
    let Some(found) = container_status(pod, container).and_then(|status| status.state.as_ref()) else {
        return StageState::Waiting(String::new());
    };
    match found {
        ContainerState { running: Some(_), .. } => StageState::Running,
        ContainerState { terminated: Some(_), .. } => StageState::Ended,
        ContainerState { waiting, .. } => {
            let waiting = waiting.clone().unwrap_or_default();
            let reason = waiting.reason.unwrap_or_default();
            StageState::Waiting(match waiting.message {
                _ if reason == "PodInitializing" || reason == "ContainerCreating" => String::new(),
                Some(message) if !message.is_empty() => format!("{reason}: {message}"),
                _ => reason,
            })
        }
    }
}

/// The progress of a pod through its stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodProgress {
    /// No stage has started; the text is the reason, or empty.
    Starting(String),
    /// This stage runs or is the next to run; the text is the reason for a wait, or empty.
    InStage(Stage, String),
    /// All stages have ended.
    Ended,
}

/// Returns the progress of a pod.
pub fn pod_progress(pod: &Pod) -> PodProgress {
    if matches!(phase(pod), Some("Succeeded" | "Failed")) {
        return PodProgress::Ended;
    }
    let mut begun = false;
    for (container, stage) in containers(pod) {
        match container_state(pod, container) {
            StageState::Ended => begun = true,
            StageState::Running => return PodProgress::InStage(*stage, String::new()),
            StageState::Waiting(why) if begun => return PodProgress::InStage(*stage, why),
            StageState::Waiting(why) if why.is_empty() => return PodProgress::Starting(unscheduled(pod)),
            StageState::Waiting(why) => return PodProgress::Starting(why),
        }
    }
    PodProgress::Ended
}

/// Returns when the kubelet accepted the pod.
pub fn pod_start(pod: &Pod) -> Option<Timestamp> {
    pod.status.as_ref()?.start_time.as_ref().map(|time| time.0)
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn unscheduled(pod: &Pod) -> String {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| condition.message.clone().unwrap_or_else(|| "no node accepts the pod".to_owned()))
        .unwrap_or_default()
}

fn container_status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let initial = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    initial.chain(main).find(|status| status.name == container)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(status: &serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({ "metadata": { "name": "x" }, "status": status })).unwrap()
    }

    fn container(name: &str, state: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state })
    }

    #[test]
    fn the_running_container_is_the_stage() {
        let ended = serde_json::json!({ "terminated": { "exitCode": 0 } });
        let running = serde_json::json!({ "running": {} });
        let waiting = serde_json::json!({ "waiting": { "reason": "PodInitializing" } });
        let at_work = pod(&serde_json::json!({
            "phase": "Pending",
            "initContainerStatuses": [container("prepare", &ended), container("work", &running)],
            "containerStatuses": [container("collect", &waiting)],
        }));
        assert_eq!(pod_progress(&at_work), PodProgress::InStage(Stage::Work, String::new()));
        assert_eq!(stage_state(&at_work, Stage::Evaluate), StageState::Waiting(String::new()));
        assert!(Stage::Work.runs_in(&at_work) && !Stage::Evaluate.runs_in(&at_work));
        let between = pod(&serde_json::json!({
            "phase": "Pending",
            "initContainerStatuses": [container("prepare", &ended), container("work", &waiting)],
        }));
        assert_eq!(pod_progress(&between), PodProgress::InStage(Stage::Work, String::new()));
    }

    #[test]
    fn what_comes_after_the_worker_is_still_work_and_all_of_a_judge_is_evaluation() {
        let (ended, running) =
            (serde_json::json!({ "terminated": { "exitCode": 0 } }), serde_json::json!({ "running": {} }));
        let collects = pod(&serde_json::json!({
            "phase": "Running",
            "initContainerStatuses": [container("prepare", &ended), container("work", &ended)],
            "containerStatuses": [container("collect", &running)],
        }));
        assert_eq!(pod_progress(&collects), PodProgress::InStage(Stage::Work, String::new()));
        let judge = |statuses: &serde_json::Value| {
            let mut judge = pod(statuses);
            judge.labels_mut().insert(labels::EVALUATION.to_owned(), "1".to_owned());
            judge
        };
        let checkout = judge(&serde_json::json!({ "initContainerStatuses": [container("checkout", &running)] }));
        assert_eq!(pod_progress(&checkout), PodProgress::InStage(Stage::Evaluate, String::new()));
        assert!(Stage::Evaluate.runs_in(&checkout) && !Stage::Work.runs_in(&checkout));
        let judges = judge(&serde_json::json!({
            "initContainerStatuses": [container("checkout", &ended)], "containerStatuses": [container("judge", &running)],
        }));
        assert_eq!(stage_state(&judges, Stage::Evaluate), StageState::Running);
        let done = serde_json::json!({ "phase": "Succeeded" });
        assert_eq!((is_followed(&pod(&done)), is_followed(&judge(&done))), (true, false));
    }

    #[test]
    fn a_pod_that_does_not_start_says_why() {
        let pull = serde_json::json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } });
        let stuck = pod(&serde_json::json!({ "initContainerStatuses": [container("prepare", &pull)] }));
        assert_eq!(pod_progress(&stuck), PodProgress::Starting("ImagePullBackOff: no such image".to_owned()));
        let homeless = pod(&serde_json::json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available" },
        ] }));
        assert_eq!(pod_progress(&homeless), PodProgress::Starting("0/1 nodes are available".to_owned()));
        assert_eq!(pod_progress(&pod(&serde_json::json!({ "phase": "Failed" }))), PodProgress::Ended);
    }
}
