//! The row of one World: the state in its resource, updated from its pod.

use jiff::Timestamp;
use manyworlds_api::WorldStatus;
use manyworlds_api::world::WorldStage;

use super::text::Tone;
use super::time::seconds_between;
use crate::order_view::{OrderView, attempt_of};
use crate::stage::{PodProgress, Stage, pod_progress};

/// The state of a World as it is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// It waits for a free slot.
    Pending,
    /// Its pod is being started.
    Starting,
    /// It fetches the repository.
    Preparing,
    /// The worker works.
    Working,
    /// The gates run.
    Evaluating,
    /// It waits for its next attempt.
    Waiting,
    /// The order is suspended.
    Suspended,
    /// It was scored.
    Scored,
    /// It has no score.
    Failed,
    /// It was ended before it had one.
    Cut,
    /// The order ended before it began.
    NotStarted,
}

impl RowState {
    /// Returns the displayed word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Preparing => "Preparing",
            Self::Working => "Working",
            Self::Evaluating => "Evaluating",
            Self::Waiting => "Waiting",
            Self::Suspended => "Suspended",
            Self::Scored => "Scored",
            Self::Failed => "Failed",
            Self::Cut => "Cut",
            Self::NotStarted => "Not started",
        }
    }

    /// Returns whether a pod is at work on it.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Starting | Self::Preparing | Self::Working | Self::Evaluating)
    }

    /// Returns whether nothing will change any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Scored | Self::Failed | Self::Cut | Self::NotStarted)
    }

    const fn of_stage(stage: Stage) -> Self {
        match stage {
            Stage::Prepare => Self::Preparing,
            Stage::Work => Self::Working,
            Stage::Evaluate => Self::Evaluating,
        }
    }

    const fn of_status(stage: WorldStage) -> Self {
        match stage {
            WorldStage::Starting => Self::Starting,
            WorldStage::Preparing => Self::Preparing,
            WorldStage::Working => Self::Working,
            WorldStage::Evaluating => Self::Evaluating,
            WorldStage::Waiting => Self::Waiting,
            WorldStage::Suspended => Self::Suspended,
            WorldStage::Scored => Self::Scored,
            WorldStage::Failed => Self::Failed,
            WorldStage::Cut => Self::Cut,
        }
    }
}

/// The row of one World.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldRow {
    /// Name of the variant.
    pub name: String,
    /// State of the World.
    pub state: RowState,
    /// Seconds that its pod has run, or that its last pod ran.
    pub seconds: Option<i64>,
    /// Points out of 100.
    pub score: Option<i32>,
    /// Whether it is eligible to win; `None` before that is known.
    pub eligible: Option<bool>,
    /// Number of the attempt, from 1; 0 before the first.
    pub attempt: i32,
    /// One sentence that explains the state; may be empty.
    pub reason: String,
    /// Whether it won.
    pub is_winner: bool,
}

impl WorldRow {
    /// Returns the tone of the row.
    pub fn tone(&self) -> Tone {
        match self.state {
            RowState::Scored if self.eligible == Some(true) => Tone::Good,
            RowState::Scored | RowState::Failed => Tone::Bad,
            RowState::Cut | RowState::NotStarted | RowState::Pending => Tone::Muted,
            RowState::Waiting | RowState::Suspended => Tone::Waiting,
            RowState::Starting | RowState::Preparing | RowState::Working | RowState::Evaluating => Tone::Busy,
        }
    }
}

/// Returns one row for each World: in the order of the variants while the order runs, so that no line moves while
/// somebody reads it, and by rank once the order is finished.
pub fn world_rows(view: &OrderView, now: Timestamp) -> Vec<WorldRow> {
    let mut rows: Vec<WorldRow> = view.variants().iter().map(|variant| world_row(view, &variant.name, now)).collect();
    if view.is_finished() {
        rows.sort_by_key(|row| view.ranked(&row.name).map_or(usize::MAX, |(place, _)| place));
    }
    rows
}

/// Returns the row of one World.
pub fn world_row(view: &OrderView, variant: &str, now: Timestamp) -> WorldRow {
    let empty = WorldStatus::default();
    let status = view.world_status(variant).unwrap_or(&empty);
    let (state, note) = state(view, variant, status);
    WorldRow {
        name: variant.to_owned(),
        state,
        seconds: seconds(view, variant, status, state, now),
        score: status.score.as_ref().map(|score| score.total),
        eligible: status.eligible.filter(|_| state.is_over()),
        attempt: view.pod(variant).map_or(0, attempt_of).max(status.attempt_count),
        reason: reason(view, variant, status, state, &note),
        is_winner: view.winner() == Some(variant),
    }
}

/// Returns the state of the World and the reason that its pod gives.
fn state(view: &OrderView, variant: &str, status: &WorldStatus) -> (RowState, String) {
    let reported = status.stage.map(RowState::of_status);
    if view.world(variant).is_none() {
        let state = if view.is_finished() { RowState::NotStarted } else { RowState::Pending };
        return (state, String::new());
    }
    if let Some(state) = reported.filter(|state| state.is_over()) {
        return (state, String::new());
    }
    // The status already has the end of this attempt, so its pod adds nothing.
    let ended = status.attempts.last().map_or(0, |attempt| attempt.number);
    let progress = view.pod(variant).filter(|pod| attempt_of(pod) > ended).map(pod_progress);
    match progress {
        Some(PodProgress::Starting(why)) => (RowState::Starting, why),
        Some(PodProgress::InStage(stage, why)) => (RowState::of_stage(stage), why),
        Some(PodProgress::Ended) => (reported.unwrap_or(RowState::Evaluating), String::new()),
        None => (reported.unwrap_or(RowState::Starting), String::new()),
    }
}

fn seconds(view: &OrderView, variant: &str, status: &WorldStatus, state: RowState, now: Timestamp) -> Option<i64> {
    if state.is_active() {
        return view.start(variant).map(|start| seconds_between(start, now));
    }
    let last = status.attempts.last()?;
    Some(seconds_between(last.start_time.as_ref()?.0, last.finish_time.as_ref()?.0))
}

fn reason(view: &OrderView, variant: &str, status: &WorldStatus, state: RowState, note: &str) -> String {
    let first = |texts: &[&str]| texts.iter().find(|text| !text.is_empty()).map(|text| (*text).to_owned());
    let against = status.reasons.join("; ");
    let message = status.message.as_deref().unwrap_or_default();
    let ranked = view.ranked(variant).map(|(_, ranked)| ranked.reason.as_str()).unwrap_or_default();
    let text = match state {
        RowState::Pending if view.order.spec.suspend => Some("the order is suspended".to_owned()),
        RowState::Pending => Some("waits for a free slot".to_owned()),
        RowState::NotStarted => Some("the order ended before it began".to_owned()),
        RowState::Scored | RowState::Failed | RowState::Cut => first(&[message, ranked, &against]),
        RowState::Waiting | RowState::Suspended => first(&[message]),
        RowState::Starting | RowState::Preparing | RowState::Working | RowState::Evaluating => first(&[note, message]),
    };
    text.unwrap_or_default()
}
