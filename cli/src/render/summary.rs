//! The order's own line: its state, or why it waits.

use jiff::Timestamp;
use manyworlds_api::conditions::{OrderCondition, Reason, Truth, truth};
use manyworlds_api::{Money, WorkOrder, WorkOrderStatus};

use super::text::{Line, Tone};
use super::time::{length, seconds_between};
use crate::order_view::OrderView;

/// Separator between the parts of a line.
pub const SEPARATOR: &str = " · ";

/// Returns the one word that sums up the order.
pub fn summary_word(order: &WorkOrder) -> &str {
    order.status.as_ref().and_then(|status| status.summary.as_deref()).unwrap_or("Submitted")
}

/// Returns the tone of an order's summary word.
pub fn summary_tone(view: &OrderView) -> Tone {
    order_tone(&view.order)
}

/// Returns the tone of an order's summary word.
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
        Tone::Waiting
    } else {
        Tone::Busy
    }
}

/// Returns the order's own line: name, summary word, ended Worlds, time and cost.
pub fn order_line(view: &OrderView, now: Timestamp) -> Line {
    let status = view.status();
    let all = view.variants().len();
    let mut line = Line::of(Tone::Strong, view.name())
        .and(Tone::Plain, "  ")
        .and(summary_tone(view), summary_word(&view.order))
        .and(Tone::Muted, format!("{SEPARATOR}{} of {all} Worlds ended", ended(&status)));
    if let Some(seconds) = order_seconds(&view.order, now) {
        line = line.and(Tone::Muted, format!("{SEPARATOR}{}", length(seconds)));
    }
    match cost(&status) {
        Some(cost) => line.and(Tone::Muted, format!("{SEPARATOR}{cost}")),
        None => line,
    }
}

/// Returns the seconds that the order has run, or ran; `None` before its first World.
pub fn order_seconds(order: &WorkOrder, now: Timestamp) -> Option<i64> {
    let status = order.status.as_ref()?;
    let end = status.completion_time.as_ref().map_or(now, |time| time.0);
    Some(seconds_between(status.start_time.as_ref()?.0, end))
}

/// Returns how many Worlds have ended.
pub fn ended(status: &WorkOrderStatus) -> i32 {
    status.worlds.scored + status.worlds.failed + status.worlds.cut
}

/// Returns the cost of the model calls; `None` when there were none.
pub fn cost(status: &WorkOrderStatus) -> Option<String> {
    let usage = status.usage.as_ref().filter(|usage| usage.cost > Money::default() || usage.calls > 0)?;
    Some(format!("${}", usage.cost))
}

/// Returns the order's message, or a sentence of our own while the operator has not seen the order.
pub fn message(view: &OrderView) -> String {
    let status = view.status();
    match status.message.filter(|message| !message.is_empty()) {
        Some(message) => message,
        None if view.order.status.is_none() => {
            "The operator has not taken notice of the order yet. If this does not change, see whether it runs."
                .to_owned()
        }
        None => String::new(),
    }
}

/// Returns the sentence that ends a wait for the order.
pub fn outcome(view: &OrderView) -> Line {
    let name = view.name();
    match (view.has_succeeded(), view.winner()) {
        (true, Some(winner)) => {
            let score = view.ranked(winner).and_then(|(_, ranked)| ranked.score);
            let points = score.map_or_else(String::new, |score| format!(" with {score} points"));
            Line::of(Tone::Good, format!("{winner} won{points}."))
                .and(Tone::Plain, format!(" Its change: kubectl worlds patch {name}"))
        }
        (true, None) => Line::of(Tone::Good, format!("{name} has succeeded without a winner.")),
        (false, _) => Line::of(Tone::Bad, format!("{name} has not succeeded."))
            .and(Tone::Plain, format!(" Why: kubectl worlds explain {name}")),
    }
}
