//! Checkpoints of attempts that are under way (W11). Pure, as the rows of history are.

use jiff::Timestamp;
use manyworlds_ledger::history::{Checkpoint, HistoryRecord};
use serde_json::json;

use super::history_rows::{OrderView, rows};

/// Returns a checkpoint of each attempt that has a pod: the point that it reached last, and what it has used by now.
///
/// - **Shape:** `number` is that of the interval; a checkpoint of the same interval has the same name.
pub(super) fn progress(order: &OrderView<'_>, number: i64, now: Timestamp) -> Vec<Checkpoint> {
    let rows = rows(order);
    let has_pod = |world_uid: &str, attempt: i64| {
        order.pods.iter().any(|pod| pod.owner.uid == world_uid && i64::from(pod.attempt) == attempt)
    };
    let under_way = rows.iter().filter_map(|row| match row {
        HistoryRecord::World(attempt)
            if attempt.finished_at.is_none() && has_pod(&attempt.world_uid, attempt.attempt) =>
        {
            Some(attempt)
        }
        _ => None,
    });
    let reached = |id: &str| {
        rows.iter().rev().find_map(|row| match row {
            HistoryRecord::Checkpoint(one) if one.world_execution == id => Some(one),
            _ => None,
        })
    };
    under_way
        .filter_map(|attempt| {
            let last = reached(&attempt.id)?;
            let world = order.worlds.iter().find(|world| *world.uid() == *attempt.world_uid);
            let status = world.and_then(|world| world.status.as_ref());
            let usage = status.and_then(|status| status.usage.clone()).unwrap_or_default();
            let details = json!({
                "world": attempt.variant, "attempt": attempt.attempt, "since": last.made_at,
                "stage": status.and_then(|status| status.stage),
                "cost": usage.cost, "calls": usage.calls,
                "inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens,
            });
            let id = format!("{}/{number}", last.id);
            Some(Checkpoint { id, made_at: now, details: Some(details.to_string()), ..last.clone() })
        })
        .collect()
}
