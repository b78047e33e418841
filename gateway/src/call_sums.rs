//! The sums of all calls, for the metrics. They are the ledger's own, so that both agree also after a crash.

use manyworlds_ledger::{Outcome, Totals};
use manyworlds_telemetry::{CallSums, CallWord, TokenWord};

const TRILLIONTHS: f64 = 1e12;

/// Returns the sums in the words of the metrics.
pub(crate) fn of(totals: &Totals) -> CallSums {
    let all = totals.all();
    CallSums {
        calls: Outcome::ALL.into_iter().map(|outcome| (word(outcome), totals.of(outcome).calls)).collect(),
        tokens: vec![
            (TokenWord::Input, all.input_tokens),
            (TokenWord::Cached, all.cached_tokens),
            (TokenWord::CacheWrite, all.cache_write_tokens),
            (TokenWord::Output, all.output_tokens),
        ],
        #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
        cost: all.cost.trillionths() as f64 / TRILLIONTHS,
    }
}

const fn word(outcome: Outcome) -> CallWord {
    match outcome {
        Outcome::Answered => CallWord::Answered,
        Outcome::Outage => CallWord::Outage,
        Outcome::Refused => CallWord::Refused,
        Outcome::Faulty => CallWord::Faulty,
        Outcome::Cut => CallWord::Cut,
        Outcome::Lost => CallWord::Lost,
    }
}
