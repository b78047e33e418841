//! Every metric name in one list, closed sets of label values, and the set-up of logs.
//!
//! **Architecture invariant:** a label value is a word of a closed set, never the name of an object or the text of an
//! error, so that the number of series is known before anything runs.

mod calls;
mod labels;
mod logs;
mod metrics;

pub use logs::{LogError, LogFormat, Mask, start_logs};
pub use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

pub use calls::CallSums;
pub use labels::{
    ApiVerb, BreakerLabel, BudgetLabel, CacheLabel, CallLabel, ErrorClass, ObjectLabel, OrderOutcome, RefusalLabel,
    RemovalLabel, StatusClassLabel, TokenLabel, VolumeLabel, WorldOutcome,
};
pub use metrics::{CONTENT_TYPE, Description, LIST, Metrics, MetricsError};
