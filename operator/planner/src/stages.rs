//! The stages of one pod, as they were seen.

use jiff::Timestamp;

use crate::role::{ModelCalls, PodRole, Stage};

/// The kubelet's word for a container in which a process was killed for its memory.
pub const OUT_OF_MEMORY: &str = "OOMKilled";

/// The stages of a pod, with the state of each.
///
/// - **Shape:** one state for each stage of the role, in the role's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages {
    role: &'static PodRole,
    states: Vec<StageState>,
}

impl Stages {
    /// Returns the stages of a pod in which none has started.
    pub fn new(role: &'static PodRole) -> Self {
        Self { role, states: vec![StageState::Pending; role.stages.len()] }
    }

    /// Returns the role of the pod.
    pub const fn role(&self) -> &'static PodRole {
        self.role
    }

    /// Returns the state of a container; nothing for a container that is not ours.
    pub fn get(&self, container: &str) -> Option<&StageState> {
        self.in_order().find(|(stage, _)| stage.container == container).map(|(_, state)| state)
    }

    /// Notes the state of a container. A container that is not ours is passed over.
    pub fn set(&mut self, container: &str, state: StageState) {
        if let Some(place) = self.role.stages.iter().position(|stage| stage.container == container) {
            self.states[place] = state;
        }
    }

    /// Returns how many stages have ended.
    pub fn ended(&self) -> usize {
        self.states.iter().filter(|state| state.has_ended()).count()
    }

    /// Returns the stages with their states, in the order in which they run.
    pub fn in_order(&self) -> impl DoubleEndedIterator<Item = (&'static Stage, &StageState)> + Clone {
        self.role.stages.iter().zip(&self.states)
    }

    /// Returns the state of the last stage, which leaves the result.
    pub fn last(&self) -> &StageState {
        self.states.last().unwrap_or(&StageState::Pending)
    }

    /// Returns the states before the last one.
    pub(crate) fn before_last(&self) -> &[StageState] {
        self.states.split_last().map_or(&[], |(_, before)| before)
    }

    /// Returns whether a stage behind the first has begun: what the pod's own program wrote can be on the disk then.
    pub(crate) fn has_begun_work(&self) -> bool {
        self.states.iter().skip(1).any(|state| *state != StageState::Pending)
    }

    /// Returns whether no stage that runs or is still to come may call models: the pod spends nothing more.
    pub fn spends_no_more(&self) -> bool {
        let running = self.states.iter().position(StageState::is_running);
        // What the kubelet has not reported of an earlier stage is over once a later one has ended.
        let behind = self.states.iter().rposition(StageState::has_ended).map_or(0, |last| last + 1);
        self.in_order().skip(running.unwrap_or(behind)).all(|(stage, _)| stage.models == ModelCalls::Refused)
    }
}

/// State of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StageState {
    /// It has not started; the reason is the kubelet's.
    #[default]
    Pending,
    /// It cannot start yet, and the kubelet says why.
    Waiting {
        /// The kubelet's word, such as `ImagePullBackOff`.
        reason: String,
        /// The kubelet's sentence.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It has ended.
    Ended {
        /// Its exit code.
        exit_code: i32,
        /// The kubelet's word, such as `OOMKilled`.
        reason: String,
        /// The text of its termination message.
        message: String,
        /// When it started.
        started: Option<Timestamp>,
        /// When it ended.
        finished: Option<Timestamp>,
    },
}

impl StageState {
    /// Returns whether it has ended badly: by its exit code, or because a process in it was killed for its memory.
    ///
    /// The kubelet starts no container after an init container of which it says the latter, whatever its exit code, and
    /// does not end the pod either.
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Ended { exit_code, reason, .. } if *exit_code != 0 || reason == OUT_OF_MEMORY)
    }

    /// Returns whether the kubelet says that it cannot start.
    pub const fn is_stuck(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }

    /// Returns whether it runs.
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Returns whether it has ended, well or badly.
    pub const fn has_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// Returns when it started, where it has.
    pub(crate) const fn started(&self) -> Option<Timestamp> {
        match self {
            Self::Ended { started, .. } => *started,
            Self::Running { since } => *since,
            Self::Pending | Self::Waiting { .. } => None,
        }
    }

    /// Returns when it ended, where it has.
    pub(crate) const fn finished(&self) -> Option<Timestamp> {
        match self {
            Self::Ended { finished, .. } => *finished,
            Self::Running { .. } | Self::Pending | Self::Waiting { .. } => None,
        }
    }
}
