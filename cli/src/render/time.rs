//! Durations and times as people read them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Returns the whole seconds from one time to another, never negative.
pub fn seconds_between(from: Timestamp, until: Timestamp) -> i64 {
    (until.as_second() - from.as_second()).max(0)
}

/// Formats a duration with its two largest units: `42s`, `3m07s`, `2h05m`, `4d03h`.
pub fn length(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Formats an age with its largest unit, as kubectl does: `5m`, `3d`.
pub fn age(from: Option<&Time>, now: Timestamp) -> String {
    let Some(from) = from else { return "?".to_owned() };
    let seconds = seconds_between(from.0, now);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Formats the time of day in UTC, as logs do: `12:03:04Z`.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// Formats the date and the time of day in UTC: `2026-11-20 12:03:04Z`.
pub fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_its_two_largest_units() {
        for (seconds, text) in
            [(-5, "0s"), (0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (7500, "2h05m"), (356_400, "4d03h")]
        {
            assert_eq!(length(seconds), text);
        }
    }

    #[test]
    fn an_age_has_one_unit() {
        let time = |second| Time(Timestamp::from_second(second).unwrap());
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (second, text) in [(999_990, "10s"), (999_700, "5m"), (990_000, "2h"), (700_000, "3d"), (1_000_100, "0s")] {
            assert_eq!(age(Some(&time(second)), now), text);
        }
        assert_eq!(age(None, now), "?");
    }

    #[test]
    fn times_are_written_in_utc() {
        let at: Timestamp = "2026-11-20T23:04:05Z".parse().unwrap();
        assert_eq!(clock(at), "23:04:05Z");
        assert_eq!(date(at), "2026-11-20 23:04:05Z");
    }
}
