//! Every metric name in one list, closed sets of label values, and the set-up of logs.
//!
//! **Architecture invariant:** a label value is a word of a closed set, never the name of an object or the text of an
//! error, so that the number of series is known before anything runs.

mod logs;
mod metrics;

pub use logs::{LogError, LogFormat, start_logs};
pub use prometheus::IntGauge;

pub use metrics::{
    ApiVerb, ApiWord, BreakerWord, BudgetWord, CONTENT_TYPE, CacheWord, CallWord, Description, ErrorClass, LIST,
    Metrics, MetricsError, OrderOutcome, RefusalWord, TokenWord, WorldOutcome, Written,
};
