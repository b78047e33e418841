//! The stages of a World and the progress of its pod through them.

use clap::ValueEnum;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::labels;

/// A stage of a World: one container of its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Fetches the repository.
    Prepare,
    /// Runs the worker.
    Work,
    /// Runs the gates.
    Evaluate,
}

impl Stage {
    /// Every stage, in the order in which they run.
    pub const ALL: [Self; 3] = [Self::Prepare, Self::Work, Self::Evaluate];

    /// Returns the name of the stage's container.
    pub const fn container(self) -> &'static str {
        match self {
            Self::Prepare => labels::PREPARE,
            Self::Work => labels::WORK,
            Self::Evaluate => labels::EVALUATE,
        }
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

/// Returns the state of one stage of a pod.
pub fn stage_state(pod: &Pod, stage: Stage) -> StageState {
    let Some(found) = container_status(pod, stage).and_then(|status| status.state.as_ref()) else {
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
    for stage in Stage::ALL {
        match stage_state(pod, stage) {
            StageState::Ended => begun = true,
            StageState::Running => return PodProgress::InStage(stage, String::new()),
            StageState::Waiting(why) if begun => return PodProgress::InStage(stage, why),
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

fn container_status(pod: &Pod, stage: Stage) -> Option<&ContainerStatus> {
    let status = pod.status.as_ref()?;
    let initial = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    initial.chain(main).find(|container| container.name == stage.container())
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
            "containerStatuses": [container("evaluate", &waiting)],
        }));
        assert_eq!(pod_progress(&at_work), PodProgress::InStage(Stage::Work, String::new()));
        assert_eq!(stage_state(&at_work, Stage::Evaluate), StageState::Waiting(String::new()));
        let between = pod(&serde_json::json!({
            "phase": "Pending",
            "initContainerStatuses": [container("prepare", &ended), container("work", &waiting)],
        }));
        assert_eq!(pod_progress(&between), PodProgress::InStage(Stage::Work, String::new()));
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
