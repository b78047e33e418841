//! The wait after a look that failed.

use std::time::Duration;

use manyworlds_telemetry::ErrorClass;

/// The longest wait after failures in a row.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Returns the wait before an object is looked at again. It doubles with each failure in a row, and begins by the class of the error.
pub(crate) fn backoff(class: ErrorClass, failures: u32) -> Duration {
    let first = match class {
        // Somebody else was merely faster, and what they wrote is on its way.
        ErrorClass::Conflict => Duration::from_millis(50),
        ErrorClass::Transient => Duration::from_secs(1),
        ErrorClass::Permission | ErrorClass::Spec | ErrorClass::Bug => Duration::from_secs(5),
    };
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_failures_and_end_at_a_minute() {
        assert_eq!(backoff(ErrorClass::Conflict, 1), Duration::from_millis(50));
        assert_eq!(backoff(ErrorClass::Transient, 3), Duration::from_secs(4));
        assert_eq!(backoff(ErrorClass::Spec, 30), LONGEST_WAIT);
    }
}
