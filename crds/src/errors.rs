//! Errors in one line, with what caused them.
//!
//! It stands here because the operator, the runner and the command line all print errors, and this is the one crate that
//! all of them use.

use std::error::Error;

/// Returns an error and its causes in one line, such as `the request failed: connection refused`.
///
/// - **Guarantees:** a cause that the line already quotes is not repeated.
pub fn error_chain(error: &dyn Error) -> String {
    with_causes(error.to_string(), error.source())
}

/// Returns a text and the causes behind it in one line.
///
/// - **Guarantees:** as for [`error_chain`].
pub fn with_causes(text: String, cause: Option<&(dyn Error + 'static)>) -> String {
    std::iter::successors(cause, |cause| (*cause).source()).fold(text, |line, cause| {
        let cause = cause.to_string();
        if line.contains(&cause) { line } else { format!("{line}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> Link {
        let (text, causes) = texts.split_first().unwrap();
        Link { text, source: (!causes.is_empty()).then(|| Box::new(chain(causes))) }
    }

    #[test]
    fn an_error_is_printed_with_its_causes_and_nothing_twice() {
        for (texts, line) in [
            (&["the request failed"][..], "the request failed"),
            (&["the request failed", "no route", "timed out"], "the request failed: no route: timed out"),
            (&["the request failed: no route", "no route", "timed out"], "the request failed: no route: timed out"),
        ] {
            assert_eq!(error_chain(&chain(texts)), line);
        }
    }
}
