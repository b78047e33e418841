//! Logs: JSON lines on the standard output, or text for people, masked line by line.

use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Target of audit entries.
const AUDIT: &str = "audit";

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text.
    Text,
}

/// Masks secrets in a line; `None` when the line may stay as it is.
pub type Mask = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A writer that masks each line.
#[derive(Clone)]
struct MaskedWriter<W> {
    mask: Mask,
    to: W,
}

impl<W: Write> Write for MaskedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The subscriber writes one whole line per call, so no secret is divided.
        match (self.mask)(&String::from_utf8_lossy(bytes)) {
            Some(masked) => self.to.write_all(masked.as_bytes())?,
            None => self.to.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The reason why the logs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("the log filter {filter:?} cannot be read; write it as info or as info,kube=debug")]
    Filter {
        /// The filter.
        filter: String,
        /// The parse error.
        #[source]
        source: ParseError,
    },
    /// The logs were started before.
    #[error("the logs were started before")]
    Started(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts the logs of this process.
///
/// - **Guarantees:** every line goes through `mask`. Audit entries are written at any level, unless the filter names their target
///   `audit`.
///
/// # Errors
///
/// [`LogError`] (class: spec) when the filter cannot be read, or (class: bug) when the logs were started before.
pub fn start_logs(filter: &str, format: LogFormat, mask: Mask) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(with_audit(filter))
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let writer = move || MaskedWriter { mask: mask.clone(), to: io::stdout() };
    let started = match format {
        LogFormat::Json => json(parsed, writer).try_init(),
        LogFormat::Text => text(parsed, writer).try_init(),
    };
    started.map_err(LogError::Started)
}

fn json<W>(filter: EnvFilter, writer: W) -> impl SubscriberInitExt
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE);
    let builder = builder.json().flatten_event(true).with_current_span(true).with_span_list(false);
    builder.with_writer(writer).finish()
}

fn text<W>(filter: EnvFilter, writer: W) -> impl SubscriberInitExt
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE);
    builder.with_ansi(false).with_writer(writer).finish()
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

    #[test]
    fn every_line_is_masked_in_either_form_fields_and_spans_included() {
        let mask: Mask = Arc::new(|line| line.contains("canary").then(|| line.replace("canary", "***")));
        for format in [LogFormat::Json, LogFormat::Text] {
            let mask = mask.clone();
            let lines = tempfile::NamedTempFile::new().unwrap();
            let to = Arc::new(lines.reopen().unwrap());
            let writer = move || MaskedWriter { mask: mask.clone(), to: to.clone() };
            let filter = EnvFilter::new("info");
            let _started = match format {
                LogFormat::Json => json(filter, writer).set_default(),
                LogFormat::Text => text(filter, writer).set_default(),
            };
            let span = tracing::info_span!("order", name = "of canary").entered();
            tracing::info!(key = "a canary", "said canary");
            tracing::info!("nothing");
            drop(span);
            let written = io::read_to_string(&lines).unwrap();
            assert_eq!(written.lines().count(), 2, "{written}");
            assert!(!written.contains("canary") && written.contains("said ***") && written.contains("nothing"));
        }
    }
}
