//! The metrics of the operator.

use prometheus::{
    Counter, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::calls::{CallCounters, CallSums};

/// Content type of the text that [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// One line of the list of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Name, with its unit as the suffix.
    pub name: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Labels.
    pub labels: &'static [&'static str],
}

macro_rules! metric_list {
    ($($constant:ident = $name:literal, [$($label:literal),*], $help:literal;)+) => {
        $(const $constant: Description = Description { name: $name, help: $help, labels: &[$($label),*] };)+
        /// Every metric of the operator, in the order in which they are documented.
        pub const LIST: &[Description] = &[$($constant),+];
    };
}

metric_list! {
    RECONCILES = "manyworlds_reconciles_total", ["kind"], "Reconciliations.";
    RECONCILE_SECONDS = "manyworlds_reconcile_duration_seconds", ["kind"], "Time of one reconciliation, writes included.";
    RECONCILE_ERRORS = "manyworlds_reconcile_errors_total", ["kind", "class"], "Reconciliations that failed, by class of the error.";
    API_WRITES = "manyworlds_api_writes_total", ["verb", "kind"], "Write requests to the API server.";
    WATCH_ERRORS = "manyworlds_watch_errors_total", ["kind"], "Watches that broke and were restarted.";
    OBJECTS_UNREADABLE = "manyworlds_objects_unreadable_total", ["kind"], "Objects that this version cannot read and ignores.";
    ORDERS = "manyworlds_work_orders", ["state"], "WorkOrders by state: active or finished.";
    ORDERS_FINISHED = "manyworlds_work_orders_finished_total", ["outcome"], "WorkOrders that finished.";
    ORDER_SECONDS = "manyworlds_work_order_duration_seconds", [], "Time from the creation of a WorkOrder to its end.";
    ORDERS_WAITING = "manyworlds_work_orders_waiting", [], "WorkOrders that wait for a free slot.";
    WORLDS_FINISHED = "manyworlds_worlds_finished_total", ["outcome"], "Worlds that ended.";
    WORLDS_HOLDING = "manyworlds_worlds_running", [], "Worlds that hold a slot.";
    WORLD_SCORE = "manyworlds_world_score_points", [], "Scores of Worlds, out of 100.";
    ATTEMPTS = "manyworlds_world_attempts_total", [], "Attempts of Worlds that were started.";
    ATTEMPT_FAILURES = "manyworlds_world_attempt_failures_total", ["class"], "Attempts that failed, by class of the failure.";
    SLOTS = "manyworlds_nodes_ready", [], "Nodes that are ready and schedulable.";
    ARTIFACTS = "manyworlds_artifacts_stored_total", [], "Artifacts that were stored.";
    ARTIFACT_BYTES = "manyworlds_artifacts_stored_bytes_total", [], "Bytes of artifacts that were stored.";
    ARTIFACTS_HELD = "manyworlds_artifacts_held_bytes", [], "Bytes of artifacts that are stored now.";
    ARTIFACTS_REMOVED = "manyworlds_artifacts_removed_total", ["reason"], "Orders whose artifacts were removed: because they were deleted, or finished too long ago (expired).";
    VOLUME_FREE = "manyworlds_volume_free_bytes", ["volume"], "Free bytes of the volume of the artifacts, and of that of the ledger where it is a SQLite file.";
    VOLUME_SIZE = "manyworlds_volume_size_bytes", ["volume"], "Size of the same volumes in bytes.";
    HTTP_REQUESTS = "manyworlds_http_requests_total", ["code"], "Requests to the artifact API, by class of the status.";
    EVENTS_DROPPED = "manyworlds_events_dropped_total", [], "Events that were dropped because the queue was full.";
    QUEUE = "manyworlds_reconciles_running", ["kind"], "Reconciliations in progress.";
    POD_START_SECONDS = "manyworlds_pods_created_duration_seconds", [], "Time from seeing a WorkOrder to its first pods created.";
    LLM_CALLS = "manyworlds_llm_calls_total", ["outcome"], "Calls to models, by outcome, from the ledger; each attempt is a call of its own.";
    LLM_TOKENS = "manyworlds_token_usage_total", ["kind"], "Tokens of these calls; each token has one kind, reasoning is part of output.";
    LLM_COST = "manyworlds_llm_cost_dollars_total", [], "Cost of these calls in dollars.";
    LLM_WAITING = "manyworlds_llm_calls_waiting", [], "Calls to models that wait in the queue.";
    LLM_RUNNING = "manyworlds_llm_calls_running", [], "Calls to models in flight.";
    LLM_WAIT_SECONDS = "manyworlds_llm_wait_duration_seconds", [], "Time that a call to a model waited in the queue.";
    LLM_FIRST_BYTE_SECONDS = "manyworlds_llm_first_byte_duration_seconds", [], "Time from sending a call to a model to the first byte of its answer.";
    GATEWAY_REFUSALS = "manyworlds_gateway_refusals_total", ["reason"], "Requests that the gateway refused, by reason.";
    SECRETS_MASKED = "manyworlds_secrets_masked_total", ["pattern_id"], "Secrets that were masked in calls of the worker coder and in the operator's log, by pattern.";
    LLM_CACHE = "manyworlds_llm_cache_total", ["result"], "Look-ups in the cache of answers at temperature 0: hit or miss.";
    LLM_CACHE_BYTES = "manyworlds_llm_cache_bytes", [], "Size of the cache of answers in bytes.";
    LLM_WINDOW_USED = "manyworlds_llm_window_used_percent", [], "Share of its limits that the busiest Provider used in the last minute.";
    LLM_BREAKERS = "manyworlds_providers", ["breaker"], "Providers, by the worst breaker state among their models.";
    BUDGETS = "manyworlds_budgets", ["state"], "Budgets by state: within plan, past a percentage of warnAt, or used up.";
    BUILD = "manyworlds_build_info", ["version"], "Version of the operator; always 1.";
}

/// The reason why the metrics could not be registered or written.
#[derive(Debug, thiserror::Error)]
#[error("a metric could not be registered or written")]
pub struct MetricsError(#[from] prometheus::Error);

/// The metrics of one process.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the list above says what each of them counts")]
pub struct Metrics {
    registry: Registry,
    pub reconciles: IntCounterVec,
    pub reconcile_seconds: HistogramVec,
    pub reconcile_errors: IntCounterVec,
    pub api_writes: IntCounterVec,
    pub watch_errors: IntCounterVec,
    pub objects_unreadable: IntCounterVec,
    pub orders: IntGaugeVec,
    pub orders_finished: IntCounterVec,
    pub order_seconds: Histogram,
    pub orders_waiting: IntGauge,
    pub worlds_finished: IntCounterVec,
    pub worlds_running: IntGauge,
    pub world_score: Histogram,
    pub attempts: IntCounter,
    pub attempt_failures: IntCounterVec,
    pub nodes_ready: IntGauge,
    pub artifacts: IntCounter,
    pub artifact_bytes: IntCounter,
    pub artifacts_held: IntGauge,
    pub artifacts_removed: IntCounterVec,
    pub volume_free: IntGaugeVec,
    pub volume_size: IntGaugeVec,
    pub http_requests: IntCounterVec,
    pub events_dropped: IntCounter,
    pub reconciles_running: IntGaugeVec,
    pub pods_created_seconds: Histogram,
    llm_calls: CallCounters,
    pub llm_waiting: IntGauge,
    pub llm_running: IntGauge,
    pub llm_wait_seconds: Histogram,
    pub llm_first_byte_seconds: Histogram,
    pub gateway_refusals: IntCounterVec,
    pub secrets_masked: IntCounterVec,
    pub llm_cache: IntCounterVec,
    pub llm_cache_bytes: IntGauge,
    pub llm_window_used: IntGauge,
    pub providers: IntGaugeVec,
    pub budgets: IntGaugeVec,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// [`MetricsError`] (class: bug) when two of them have the same name.
    pub fn new(version: &str) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        gauges(&registry, BUILD)?.with_label_values(&[version]).set(1);
        Ok(Self {
            reconciles: counters(&registry, RECONCILES)?,
            reconcile_seconds: histograms(&registry, RECONCILE_SECONDS, SHORT_SECONDS)?,
            reconcile_errors: counters(&registry, RECONCILE_ERRORS)?,
            api_writes: counters(&registry, API_WRITES)?,
            watch_errors: counters(&registry, WATCH_ERRORS)?,
            objects_unreadable: counters(&registry, OBJECTS_UNREADABLE)?,
            orders: gauges(&registry, ORDERS)?,
            orders_finished: counters(&registry, ORDERS_FINISHED)?,
            order_seconds: histogram(&registry, ORDER_SECONDS, LONG_SECONDS)?,
            orders_waiting: gauge(&registry, ORDERS_WAITING)?,
            worlds_finished: counters(&registry, WORLDS_FINISHED)?,
            worlds_running: gauge(&registry, WORLDS_HOLDING)?,
            world_score: histogram(&registry, WORLD_SCORE, POINTS)?,
            attempts: counter(&registry, ATTEMPTS)?,
            attempt_failures: counters(&registry, ATTEMPT_FAILURES)?,
            nodes_ready: gauge(&registry, SLOTS)?,
            artifacts: counter(&registry, ARTIFACTS)?,
            artifact_bytes: counter(&registry, ARTIFACT_BYTES)?,
            artifacts_held: gauge(&registry, ARTIFACTS_HELD)?,
            artifacts_removed: counters(&registry, ARTIFACTS_REMOVED)?,
            volume_free: gauges(&registry, VOLUME_FREE)?,
            volume_size: gauges(&registry, VOLUME_SIZE)?,
            http_requests: counters(&registry, HTTP_REQUESTS)?,
            events_dropped: counter(&registry, EVENTS_DROPPED)?,
            reconciles_running: gauges(&registry, QUEUE)?,
            pods_created_seconds: histogram(&registry, POD_START_SECONDS, SHORT_SECONDS)?,
            llm_calls: calls(&registry)?,
            llm_waiting: gauge(&registry, LLM_WAITING)?,
            llm_running: gauge(&registry, LLM_RUNNING)?,
            llm_wait_seconds: histogram(&registry, LLM_WAIT_SECONDS, WAIT_SECONDS)?,
            llm_first_byte_seconds: histogram(&registry, LLM_FIRST_BYTE_SECONDS, WAIT_SECONDS)?,
            gateway_refusals: counters(&registry, GATEWAY_REFUSALS)?,
            secrets_masked: counters(&registry, SECRETS_MASKED)?,
            llm_cache: counters(&registry, LLM_CACHE)?,
            llm_cache_bytes: gauge(&registry, LLM_CACHE_BYTES)?,
            llm_window_used: gauge(&registry, LLM_WINDOW_USED)?,
            providers: gauges(&registry, LLM_BREAKERS)?,
            budgets: gauges(&registry, BUDGETS)?,
            registry,
        })
    }

    /// Sets the source of the sums over model calls, which is read whenever the metrics are written.
    ///
    /// - **Guarantees:** the first source stays. Without a source, and while it returns `None`, these metrics are absent.
    pub fn read_calls_from(&self, source: impl Fn() -> Option<CallSums> + Send + Sync + 'static) {
        self.llm_calls.read_from(source);
    }

    /// Returns all metrics in the text format of Prometheus.
    ///
    /// # Errors
    ///
    /// [`MetricsError`] (class: bug) when one of them cannot be written.
    pub fn encode(&self) -> Result<Vec<u8>, MetricsError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Upper bounds, in seconds, of durations of milliseconds.
const SHORT_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper bounds, in seconds, of durations of minutes; 1800 is the acceptance limit of W17.
const LONG_SECONDS: &[f64] = &[1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0];
/// Upper bounds, in seconds, of waits from milliseconds to minutes.
const WAIT_SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Upper bounds of scores.
const POINTS: &[f64] = &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 100.0];

fn counter(registry: &Registry, description: Description) -> Result<IntCounter, MetricsError> {
    let metric = IntCounter::new(description.name, description.help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn calls(registry: &Registry) -> Result<CallCounters, MetricsError> {
    let labelled = |Description { name, help, labels }| IntCounterVec::new(Opts::new(name, help), labels);
    let cost = Counter::new(LLM_COST.name, LLM_COST.help)?;
    let metric = CallCounters::new(labelled(LLM_CALLS)?, labelled(LLM_TOKENS)?, cost);
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(registry: &Registry, description: Description) -> Result<IntCounterVec, MetricsError> {
    let metric = IntCounterVec::new(Opts::new(description.name, description.help), description.labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(registry: &Registry, description: Description) -> Result<IntGauge, MetricsError> {
    let metric = IntGauge::new(description.name, description.help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauges(registry: &Registry, description: Description) -> Result<IntGaugeVec, MetricsError> {
    let metric = IntGaugeVec::new(Opts::new(description.name, description.help), description.labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histogram(registry: &Registry, description: Description, buckets: &[f64]) -> Result<Histogram, MetricsError> {
    let options = HistogramOpts::new(description.name, description.help).buckets(buckets.to_vec());
    let metric = Histogram::with_opts(options)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histograms(registry: &Registry, description: Description, buckets: &[f64]) -> Result<HistogramVec, MetricsError> {
    let options = HistogramOpts::new(description.name, description.help).buckets(buckets.to_vec());
    let metric = HistogramVec::new(options, description.labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_unit() {
        for (index, description) in LIST.iter().enumerate() {
            assert!(LIST[..index].iter().all(|other| other.name != description.name), "{}", description.name);
            assert!(description.name.starts_with("manyworlds_"), "{}", description.name);
            assert!(description.help.ends_with('.'), "{}", description.name);
        }
        assert!(LIST.len() > 20, "W15 asks for more than twenty");
    }

    #[test]
    fn every_metric_is_documented_in_this_order() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
        let documented: Vec<&str> = page.lines().filter(|line| line.starts_with("| `manyworlds_")).collect();
        let expected: Vec<String> = LIST
            .iter()
            .map(|Description { name, help, labels }| {
                let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
                format!("| `{name}` | {} | {help} |", labels.join(", "))
            })
            .collect();
        assert_eq!(documented[..expected.len()], expected);
    }

    #[test]
    fn every_plain_metric_is_written() {
        let metrics = Metrics::new("1.2.3").unwrap();
        metrics.read_calls_from(|| Some(CallSums::default()));
        let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
        for description in LIST.iter().filter(|description| description.labels.is_empty()) {
            assert!(text.contains(description.name), "{}", description.name);
        }
        assert!(text.contains(r#"manyworlds_build_info{version="1.2.3"} 1"#));
    }
}
