//! The sums of all calls, for the metrics. They are the ledger's own, so that both agree also after a crash.

use manyworlds_ledger::{CallOutcome, CallTotals};
use manyworlds_telemetry::{CallLabel, CallSums, TokenLabel};

const TRILLIONTHS: f64 = 1e12;

/// Returns the sums in the words of the metrics.
pub(crate) fn of(totals: &CallTotals) -> CallSums {
    let all = totals.all();
    CallSums {
        calls: CallOutcome::ALL.into_iter().map(|outcome| (word(outcome), totals.of(outcome).calls)).collect(),
        tokens: vec![
            (TokenLabel::Input, all.input_tokens),
            (TokenLabel::Cached, all.cached_tokens),
            (TokenLabel::CacheWrite, all.cache_write_tokens),
            (TokenLabel::Output, all.output_tokens),
        ],
        #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
        cost: all.cost.trillionths() as f64 / TRILLIONTHS,
    }
}

const fn word(outcome: CallOutcome) -> CallLabel {
    match outcome {
        CallOutcome::Answered => CallLabel::Answered,
        CallOutcome::Outage => CallLabel::Outage,
        CallOutcome::Refused => CallLabel::Refused,
        CallOutcome::Faulty => CallLabel::Faulty,
        CallOutcome::Cut => CallLabel::Cut,
        CallOutcome::Lost => CallLabel::Lost,
    }
}
