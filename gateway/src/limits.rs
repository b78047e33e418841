//! Reads upstream's limits from the headers of an answer.

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use manyworlds_metering::rate_window::{Dimension, UpstreamLimit};

/// The longest wait that upstream may ask for.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// Returns the requests and tokens that are left, as far as the headers say.
pub fn remaining(headers: &HeaderMap, now: Timestamp) -> Vec<UpstreamLimit> {
    let openai = [("requests", Dimension::Requests), ("tokens", Dimension::Tokens)].map(|(word, dimension)| {
        let name = |what: &str| format!("x-ratelimit-{what}-{word}");
        read(headers, dimension, name, |text| now.checked_add(duration(text)?.min(LONGEST)).ok())
    });
    let anthropic = [
        ("requests", Dimension::Requests),
        ("tokens", Dimension::Tokens),
        ("input-tokens", Dimension::Input),
        ("output-tokens", Dimension::Output),
    ]
    .map(|(word, dimension)| {
        let name = |what: &str| format!("anthropic-ratelimit-{word}-{what}");
        read(headers, dimension, name, |text| Some(believed(text.parse().ok()?, now)))
    });
    openai.into_iter().chain(anthropic).flatten().collect()
}

/// Returns the time at which upstream wants the next call, where it names one.
///
/// - **Shape:** `retry-after-ms` comes before `retry-after`, which is in seconds or a date, as the official clients read them.
pub fn not_before(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let milliseconds = number("retry-after-ms").or_else(|| Some(number("retry-after")? * 1000.0));
    let at = match milliseconds {
        Some(milliseconds) => {
            let wait = SignedDuration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(LONGEST);
            now.checked_add(wait.min(LONGEST)).ok()
        }
        None => jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text("retry-after")?).ok(),
    };
    at.map(|at| believed(at, now)).filter(|at| *at > now)
}

/// Returns a time that upstream names, or the latest time that it may name.
fn believed(at: Timestamp, now: Timestamp) -> Timestamp {
    now.checked_add(LONGEST).map_or(at, |last| at.min(last))
}

fn read(
    headers: &HeaderMap,
    dimension: Dimension,
    name: impl Fn(&str) -> String,
    time: impl Fn(&str) -> Option<Timestamp>,
) -> Option<UpstreamLimit> {
    let text = |what: &str| headers.get(name(what))?.to_str().ok().map(str::trim);
    Some(UpstreamLimit {
        dimension,
        left: text("remaining")?.parse().ok()?,
        limit: text("limit")?.parse().ok()?,
        resets_at: time(text("reset")?)?,
    })
}

/// Reads a duration such as `6m0s`, `1.5s` or `12ms`.
fn duration(text: &str) -> Option<SignedDuration> {
    let (mut rest, mut seconds) = (text, 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end =
            rest[digits..].find(|character: char| character.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        seconds += number
            * match &rest[digits..unit_end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    SignedDuration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn both_vendors_headers_are_read() {
        let openai = headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let resets_at = |seconds| now() + SignedDuration::from_secs(seconds);
        assert_eq!(
            remaining(&openai, now()),
            [
                UpstreamLimit { dimension: Dimension::Requests, left: 59, limit: 60, resets_at: resets_at(1) },
                UpstreamLimit {
                    dimension: Dimension::Tokens,
                    left: 149_984,
                    limit: 150_000,
                    resets_at: resets_at(360)
                },
            ]
        );
        let anthropic = headers(&[
            ("anthropic-ratelimit-input-tokens-limit", "40000"),
            ("anthropic-ratelimit-input-tokens-remaining", "39000"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-01-01T00:00:02Z"),
        ]);
        assert_eq!(
            remaining(&anthropic, now()),
            [UpstreamLimit { dimension: Dimension::Input, left: 39_000, limit: 40_000, resets_at: resets_at(2) }]
        );
    }

    #[test]
    fn limits_come_back_within_a_day_whatever_upstream_says() {
        let openai = [
            ("x-ratelimit-limit-tokens", "1"),
            ("x-ratelimit-remaining-tokens", "1"),
            ("x-ratelimit-reset-tokens", "999999999999s"),
        ];
        let anthropic = [
            ("anthropic-ratelimit-tokens-limit", "1"),
            ("anthropic-ratelimit-tokens-remaining", "1"),
            ("anthropic-ratelimit-tokens-reset", "9999-12-30T00:00:00Z"),
        ];
        let expected = UpstreamLimit {
            dimension: Dimension::Tokens,
            left: 1,
            limit: 1,
            resets_at: now() + SignedDuration::from_hours(24),
        };
        for pairs in [openai, anthropic] {
            assert_eq!(remaining(&headers(&pairs), now()), [expected], "{pairs:?}");
        }
    }

    #[test]
    fn durations_are_read_and_nonsense_is_not() {
        for (text, milliseconds) in
            [("1s", 1000), ("6m0s", 360_000), ("12ms", 12), ("1.5s", 1500), ("1h2m3s", 3_723_000)]
        {
            assert_eq!(duration(text), Some(SignedDuration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "1", "1x", "1..s", "-1s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn the_time_of_the_next_call_is_read_as_the_official_clients_do() {
        for (pairs, milliseconds) in [
            (&[("retry-after", "7")][..], Some(7000)),
            (&[("retry-after-ms", "50"), ("retry-after", "7")], Some(50)),
            (&[("retry-after", "Thu, 01 Jan 2026 00:00:30 GMT")], Some(30_000)),
            (&[("retry-after", "0")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "1e99")], Some(86_400_000)),
            (&[("retry-after", "Tue, 31 Dec 2999 23:59:59 GMT")], Some(86_400_000)),
            (&[], None),
        ] {
            let at = milliseconds.map(|milliseconds| now() + SignedDuration::from_millis(milliseconds));
            assert_eq!(not_before(&headers(pairs), now()), at, "{pairs:?}");
        }
    }

    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::fuzz;

        use super::*;

        #[test]
        fn no_header_names_a_time_that_is_too_far_away() {
            let seeds: [&[u8]; 6] =
                [b"6m0s", b"1d2h3.5s", b"12ms", b"30", b"2026-01-01T00:00:09Z", b"Thu, 01 Jan 2026 00:00:30 GMT"];
            let names = ["x-ratelimit-#-requests", "x-ratelimit-#-tokens", "anthropic-ratelimit-tokens-#"];
            let last = now() + LONGEST;
            fuzz(&seeds, |input| {
                let Ok(value) = HeaderValue::from_bytes(input) else { return };
                let mut headers = HeaderMap::new();
                for name in names {
                    for (what, value) in
                        [("reset", value.clone()), ("limit", "9".parse().unwrap()), ("remaining", "5".parse().unwrap())]
                    {
                        headers.insert(name.replace('#', what).parse::<HeaderName>().unwrap(), value);
                    }
                }
                for name in ["retry-after", "retry-after-ms"] {
                    headers.insert(name, value.clone());
                }
                assert!(remaining(&headers, now()).iter().all(|limit| limit.resets_at <= last));
                assert!(not_before(&headers, now()).is_none_or(|at| at > now() && at <= last));
            });
        }
    }
}
