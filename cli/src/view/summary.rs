//! The order's own line: how it stands, or why it waits.

use jiff::Timestamp;
use manyworlds_api::conditions::{OrderCondition, Reason, Truth, truth};
use manyworlds_api::{Money, WorkOrder, WorkOrderStatus};

use super::text::{Line, Tone};
use super::time::{length, seconds_between};
use crate::picture::Picture;

/// Shown between the parts of a line.
pub const DOT: &str = " · ";

/// Returns one word on the order.
pub fn summary_word(order: &WorkOrder) -> &str {
    order.status.as_ref().and_then(|status| status.summary.as_deref()).unwrap_or("Submitted")
}

/// Returns what that word means.
pub fn summary_tone(picture: &Picture) -> Tone {
    order_tone(&picture.order)
}

/// Returns what the order's word means.
pub fn order_tone(order: &WorkOrder) -> Tone {
    let conditions = order.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let holds = |condition: OrderCondition| truth(conditions, condition.as_str()) == Truth::True;
    if order.is_finished() {
        return if holds(OrderCondition::Succeeded) { Tone::Good } else { Tone::Bad };
    }
    let waits = [
        Reason::AwaitingCapacity,
        Reason::AwaitingApproval,
        Reason::AwaitingCleanup,
        Reason::BudgetExhausted,
        Reason::RateLimited,
        Reason::ProviderUnavailable,
        Reason::Suspended,
    ];
    let word = summary_word(order);
    if holds(OrderCondition::Stalled) {
        Tone::Bad
    } else if waits.iter().any(|reason| reason.as_str() == word) {
        Tone::Held
    } else {
        Tone::Busy
    }
}

/// Returns the order's own line: name, word, Worlds that have ended, time and cost.
pub fn order_line(picture: &Picture, now: Timestamp) -> Line {
    let status = picture.status();
    let all = picture.variants().len();
    let mut line = Line::of(Tone::Strong, picture.name())
        .and(Tone::Plain, "  ")
        .and(summary_tone(picture), summary_word(&picture.order))
        .and(Tone::Muted, format!("{DOT}{} of {all} Worlds ended", ended(&status)));
    if let Some(seconds) = order_seconds(&picture.order, now) {
        line = line.and(Tone::Muted, format!("{DOT}{}", length(seconds)));
    }
    match cost(&status) {
        Some(cost) => line.and(Tone::Muted, format!("{DOT}{cost}")),
        None => line,
    }
}

/// Returns for how many seconds the order has run, or ran; `None` before its first World.
pub fn order_seconds(order: &WorkOrder, now: Timestamp) -> Option<i64> {
    let status = order.status.as_ref()?;
    let end = status.completion_time.as_ref().map_or(now, |time| time.0);
    Some(seconds_between(status.start_time.as_ref()?.0, end))
}

/// Returns how many Worlds have ended.
pub fn ended(status: &WorkOrderStatus) -> i32 {
    status.worlds.scored + status.worlds.failed + status.worlds.cut
}

/// Returns what the model calls have cost; `None` when there were none.
pub fn cost(status: &WorkOrderStatus) -> Option<String> {
    let usage = status.usage.as_ref().filter(|usage| usage.cost > Money::default() || usage.calls > 0)?;
    Some(format!("${}", usage.cost))
}

/// Returns the order's sentence; where the status has none, one is made of what is known.
pub fn message(picture: &Picture) -> String {
    let status = picture.status();
    match status.message.filter(|message| !message.is_empty()) {
        Some(message) => message,
        None if picture.order.status.is_none() => {
            "The operator has not taken notice of the order yet. If this does not change, see whether it runs."
                .to_owned()
        }
        None => String::new(),
    }
}

/// Returns the sentence with which a wait for the order ends.
pub fn outcome(picture: &Picture) -> Line {
    let name = picture.name();
    match (picture.has_succeeded(), picture.winner()) {
        (true, Some(winner)) => {
            let score = picture.ranked(winner).and_then(|(_, ranked)| ranked.score);
            let points = score.map_or_else(String::new, |score| format!(" with {score} points"));
            Line::of(Tone::Good, format!("{winner} won{points}."))
                .and(Tone::Plain, format!(" Its change: kubectl worlds patch {name}"))
        }
        (true, None) => Line::of(Tone::Good, format!("{name} has succeeded without a winner.")),
        (false, _) => Line::of(Tone::Bad, format!("{name} has not succeeded."))
            .and(Tone::Plain, format!(" Why: kubectl worlds explain {name}")),
    }
}
