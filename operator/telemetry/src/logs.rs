//! Logs: JSON lines on the standard output, or text for people.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The target of the audit log's lines.
const AUDIT: &str = "audit";

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text.
    Text,
}

/// Why the logs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("the log filter {filter:?} cannot be read; write it as info or as info,kube=debug")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The logs were started before.
    #[error("the logs were started before")]
    Started(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts the logs of this process.
///
/// - **Guarantees:** lines of the audit log are written whatever the level, unless the filter itself names their target.
///
/// # Errors
///
/// [`LogError`] (class: spec) when the filter cannot be read, or (class: bug) when the logs were started before.
pub fn start_logs(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(with_audit(filter))
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_span_events(FmtSpan::NONE);
    let started = match format {
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
        }
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
    };
    started.map_err(LogError::Started)
}

fn with_audit(filter: &str) -> String {
    let named = filter.split(',').any(|part| part.split('=').next().map(str::trim) == Some(AUDIT));
    if named { filter.to_owned() } else { format!("{filter},{AUDIT}=info") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_is_written_whatever_the_level_unless_it_is_named() {
        assert_eq!(with_audit("warn"), "warn,audit=info");
        assert_eq!(with_audit("warn,audit=off"), "warn,audit=off");
        assert!(EnvFilter::try_new(with_audit("info,kube=debug")).is_ok());
        assert!(EnvFilter::try_new(with_audit("")).is_ok());
    }
}
