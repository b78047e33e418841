//! How one World stands: what its resource says, made current by what its pod shows.

use jiff::Timestamp;
use manyworlds_api::WorldStatus;
use manyworlds_api::world::WorldStage;

use super::text::Tone;
use super::time::seconds_between;
use crate::picture::{Picture, attempt_of};
use crate::stage::{PodProgress, Stage, pod_progress, pod_start};

/// What a World does, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
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

impl Shown {
    /// Returns the word for it.
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

/// How one World stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldRow {
    /// Name of the variant.
    pub name: String,
    /// What it does, or how it ended.
    pub shown: Shown,
    /// For how long its pod has run, or its last one ran.
    pub seconds: Option<i64>,
    /// Points out of 100.
    pub score: Option<i32>,
    /// Whether it could win; `None` before that is known.
    pub eligible: Option<bool>,
    /// Number of the attempt, from 1; 0 before the first.
    pub attempt: i32,
    /// One sentence on why it stands where it does.
    pub reason: String,
    /// Whether it won.
    pub is_winner: bool,
}

impl WorldRow {
    /// Returns what the row means.
    pub fn tone(&self) -> Tone {
        match self.shown {
            Shown::Scored if self.eligible == Some(true) => Tone::Good,
            Shown::Scored | Shown::Failed => Tone::Bad,
            Shown::Cut | Shown::NotStarted | Shown::Pending => Tone::Muted,
            Shown::Waiting | Shown::Suspended => Tone::Held,
            Shown::Starting | Shown::Preparing | Shown::Working | Shown::Evaluating => Tone::Busy,
        }
    }
}

/// Returns one row for each World: in the order of the variants while the order runs, so that no line moves under the
/// reader's eye, and the best first once it is over.
pub fn world_rows(picture: &Picture, now: Timestamp) -> Vec<WorldRow> {
    let mut rows: Vec<WorldRow> =
        picture.variants().iter().map(|variant| world_row(picture, &variant.name, now)).collect();
    if picture.is_finished() {
        rows.sort_by_key(|row| picture.ranked(&row.name).map_or(usize::MAX, |(place, _)| place));
    }
    rows
}

/// Returns the row of one World.
pub fn world_row(picture: &Picture, variant: &str, now: Timestamp) -> WorldRow {
    let empty = WorldStatus::default();
    let status = picture.world_status(variant).unwrap_or(&empty);
    let (shown, note) = shown(picture, variant, status);
    WorldRow {
        name: variant.to_owned(),
        shown,
        seconds: seconds(picture, variant, status, shown, now),
        score: status.score.as_ref().map(|score| score.total),
        eligible: status.eligible.filter(|_| shown.is_over()),
        attempt: picture.pod(variant).map_or(0, attempt_of).max(status.attempt_count),
        reason: reason(picture, variant, status, shown, &note),
        is_winner: picture.winner() == Some(variant),
    }
}

/// Returns what the World does and what its pod says about it.
fn shown(picture: &Picture, variant: &str, status: &WorldStatus) -> (Shown, String) {
    let reported = status.stage.map(Shown::of_status);
    if picture.world(variant).is_none() {
        let shown = if picture.is_finished() { Shown::NotStarted } else { Shown::Pending };
        return (shown, String::new());
    }
    if let Some(shown) = reported.filter(|shown| shown.is_over()) {
        return (shown, String::new());
    }
    // The pod of an attempt that the status already counts as ended says nothing new.
    let ended = status.attempts.last().map_or(0, |attempt| attempt.number);
    let progress = picture.pod(variant).filter(|pod| attempt_of(pod) > ended).map(pod_progress);
    match progress {
        Some(PodProgress::Starting(why)) => (Shown::Starting, why),
        Some(PodProgress::At(stage, why)) => (Shown::of_stage(stage), why),
        Some(PodProgress::Ended) => (reported.unwrap_or(Shown::Evaluating), String::new()),
        None => (reported.unwrap_or(Shown::Starting), String::new()),
    }
}

fn seconds(picture: &Picture, variant: &str, status: &WorldStatus, shown: Shown, now: Timestamp) -> Option<i64> {
    if shown.is_active() {
        return picture.pod(variant).and_then(pod_start).map(|start| seconds_between(start, now));
    }
    let last = status.attempts.last()?;
    Some(seconds_between(last.start_time.as_ref()?.0, last.finish_time.as_ref()?.0))
}

fn reason(picture: &Picture, variant: &str, status: &WorldStatus, shown: Shown, note: &str) -> String {
    let first = |texts: &[&str]| texts.iter().find(|text| !text.is_empty()).map(|text| (*text).to_owned());
    let against = status.reasons.join("; ");
    let message = status.message.as_deref().unwrap_or_default();
    let ranked = picture.ranked(variant).map(|(_, ranked)| ranked.reason.as_str()).unwrap_or_default();
    let text = match shown {
        Shown::Pending if picture.order.spec.suspend => Some("the order is suspended".to_owned()),
        Shown::Pending => Some("waits for a free slot".to_owned()),
        Shown::NotStarted => Some("the order ended before it began".to_owned()),
        Shown::Scored | Shown::Failed | Shown::Cut => first(&[message, ranked, &against]),
        Shown::Waiting | Shown::Suspended => first(&[message]),
        Shown::Starting | Shown::Preparing | Shown::Working | Shown::Evaluating => first(&[note, message]),
    };
    text.unwrap_or_default()
}
