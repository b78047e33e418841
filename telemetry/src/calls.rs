//! Counters of model calls, whose values come from the ledger when the metrics are read.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntCounter, IntCounterVec};

use crate::labels::{CallLabel, TokenLabel};

/// Sums over all calls to models.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallSums {
    /// Number of calls by outcome.
    pub calls: Vec<(CallLabel, u64)>,
    /// Number of tokens by kind.
    pub tokens: Vec<(TokenLabel, u64)>,
    /// Cost in dollars.
    pub cost: f64,
}

type Source = Box<dyn Fn() -> Option<CallSums> + Send + Sync>;

/// Counters that are set from a source on each read of the metrics.
#[derive(Clone)]
pub(crate) struct CallCounters(Arc<Inner>);

struct Inner {
    calls: IntCounterVec,
    tokens: IntCounterVec,
    cost: Counter,
    source: OnceLock<Source>,
    /// Held while the counters are set, because two reads may overlap.
    setting: Mutex<()>,
}

impl CallCounters {
    pub(crate) fn new(calls: IntCounterVec, tokens: IntCounterVec, cost: Counter) -> Self {
        let (source, setting) = Default::default();
        Self(Arc::new(Inner { calls, tokens, cost, source, setting }))
    }

    pub(crate) fn read_from(&self, source: impl Fn() -> Option<CallSums> + Send + Sync + 'static) {
        // The first source stays.
        let _ = self.0.source.set(Box::new(source));
    }
}

impl std::fmt::Debug for CallCounters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CallCounters").finish_non_exhaustive()
    }
}

impl Collector for CallCounters {
    fn desc(&self) -> Vec<&Desc> {
        let Inner { calls, tokens, cost, .. } = &*self.0;
        [calls.desc(), tokens.desc(), cost.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Inner { calls, tokens, cost, source, setting } = &*self.0;
        let Some(sums) = source.get().and_then(|source| source()) else { return Vec::new() };
        let _setting = setting.lock().unwrap_or_else(PoisonError::into_inner);
        for (word, count) in &sums.calls {
            raise(&calls.with_label_values(&[word.as_str()]), *count);
        }
        for (word, count) in &sums.tokens {
            raise(&tokens.with_label_values(&[word.as_str()]), *count);
        }
        let spent = sums.cost.max(cost.get());
        cost.reset();
        cost.inc_by(spent);
        [calls.collect(), tokens.collect(), cost.collect()].concat()
    }
}

/// Sets a counter, which never becomes smaller.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::Metrics;

    use super::*;

    #[test]
    fn counters_say_what_their_source_says_and_never_less_than_before() {
        let metrics = Metrics::new("1.2.3").unwrap();
        let text = || String::from_utf8(metrics.encode().unwrap()).unwrap();
        assert!(!text().contains("llm_cost"), "what is not known yet is not nothing");
        let count = Arc::new(AtomicU64::new(41));
        let source = count.clone();
        metrics.read_calls_from(move || {
            let count = source.load(Ordering::Relaxed);
            let (calls, tokens) = (vec![(CallLabel::Lost, count)], vec![(TokenLabel::Output, 10 * count)]);
            Some(CallSums { calls, tokens, cost: if count > 41 { 0.3 } else { 0.1 } })
        });
        let says = |lines: [&str; 3]| lines.iter().all(|line| text().lines().any(|found| found == *line));
        let [calls, tokens, cost] = [
            r#"manyworlds_llm_calls_total{outcome="lost"} "#,
            r#"manyworlds_token_usage_total{kind="output"} "#,
            "manyworlds_llm_cost_dollars_total ",
        ];
        let lines =
            |count, all, dollars| [format!("{calls}{count}"), format!("{tokens}{all}"), format!("{cost}{dollars}")];
        for (now, expected) in [(41, lines(41, 410, "0.1")), (42, lines(42, 420, "0.3")), (40, lines(42, 420, "0.3"))] {
            count.store(now, Ordering::Relaxed);
            assert!(says(expected.each_ref().map(String::as_str)), "{now}: {}", text());
            assert!(says(expected.each_ref().map(String::as_str)), "again is not more");
        }
    }
}
