//! The periods of a Budget, and the forecast of its spending.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use manyworlds_api::Money;
use manyworlds_api::budget::Period;

/// The part of a period that the forecast takes as elapsed at least, as a divisor of its length: without it, one call in the
/// first second would make a forecast of a fortune.
const LEAST_PART: i128 = 100;

/// One period of a Budget.
///
/// - **Shape:** from `start` on, up to but without `end`; absent is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodBounds {
    /// Its start.
    pub start: Option<Timestamp>,
    /// The start of the next one.
    pub end: Option<Timestamp>,
}

/// A time that has no date in the calendar.
#[derive(Debug, thiserror::Error)]
#[error("the period of a Budget has no date")]
pub struct PeriodError(#[from] jiff::Error);

/// Returns the period that a time is in.
///
/// - **Guarantees:** follows the clocks of the time zone: a day has 23 or 25 hours when they change, and begins at its first
///   moment where there is no midnight. `start <= now < end`, and the period at `end` begins at `end`.
///
/// # Errors
///
/// [`PeriodError`] (class: bug) at the ends of the calendar.
pub fn bounds(period: Period, zone: &TimeZone, now: Timestamp) -> Result<PeriodBounds, PeriodError> {
    let day = now.to_zoned(zone.clone()).date();
    let (first, next) = match period {
        Period::Total => return Ok(PeriodBounds { start: None, end: None }),
        Period::Day => (day, day.tomorrow()?),
        Period::Week => {
            let monday = day.checked_sub(i64::from(day.weekday().since(Weekday::Monday)).days())?;
            (monday, monday.checked_add(1.week())?)
        }
        Period::Month => (day.first_of_month(), day.last_of_month().tomorrow()?),
    };
    let begins = |date: jiff::civil::Date| date.to_zoned(zone.clone()).map(|begin: Zoned| begin.timestamp());
    Ok(PeriodBounds { start: Some(begins(first)?), end: Some(begins(next)?) })
}

/// Returns the forecast of a period's spending at its end, at the present pace.
///
/// - **Guarantees:** at least what is spent; `None` for a period without an end.
pub fn forecast(bounds: PeriodBounds, now: Timestamp, spent: Money) -> Option<Money> {
    let (start, end) = (bounds.start?, bounds.end?);
    let length = (end.as_millisecond() - start.as_millisecond()).max(1);
    let elapsed = i128::from(now.as_millisecond() - start.as_millisecond()).max(i128::from(length) / LEAST_PART).max(1);
    let (length, elapsed) = (u128::try_from(length).ok()?, u128::try_from(elapsed).ok()?);
    let at_end = spent.trillionths().saturating_mul(length) / elapsed;
    Some(Money::from_trillionths(at_end).max(spent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Central Europe by its rule, so that the test needs no database of time zones.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn found(period: Period, now: &str) -> (String, String) {
        let PeriodBounds { start, end } = bounds(period, &berlin(), at(now)).unwrap();
        (start.unwrap().to_string(), end.unwrap().to_string())
    }

    fn span(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn days_follow_the_clocks() {
        let day = |now| found(Period::Day, now);
        assert_eq!(day("2026-01-15T12:00:00Z"), span("2026-01-14T23:00:00Z", "2026-01-15T23:00:00Z"));
        assert_eq!(day("2026-03-29T12:00:00Z"), span("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), "23 hours");
        assert_eq!(day("2026-10-25T12:00:00Z"), span("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), "25 hours");
        assert_eq!(day("2026-01-14T23:30:00Z").0, "2026-01-14T23:00:00Z", "already the next day there");
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        assert_eq!(
            found(Period::Week, "2026-03-29T21:59:59Z"),
            span("2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
            "the last second of a week that loses an hour"
        );
        assert_eq!(found(Period::Week, "2026-03-29T22:00:00Z").0, "2026-03-29T22:00:00Z");
        assert_eq!(found(Period::Month, "2026-10-31T22:59:59Z"), span("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"));
        assert_eq!(found(Period::Month, "2028-02-29T12:00:00Z").1, "2028-02-29T23:00:00Z");
    }

    #[test]
    fn a_day_without_midnight_begins_at_its_first_moment() {
        // Clocks go from 0:00 to 1:00 on the second Sunday of March.
        let zone = TimeZone::posix("AAA-1BBB,M3.2.0/0,M11.1.0/0").unwrap();
        let PeriodBounds { start, end } = bounds(Period::Day, &zone, at("2026-03-08T12:00:00Z")).unwrap();
        assert_eq!(start, Some(at("2026-03-07T23:00:00Z")));
        assert_eq!(end, Some(at("2026-03-08T22:00:00Z")));
    }

    #[test]
    fn a_total_has_no_ends_and_no_forecast() {
        let total = bounds(Period::Total, &berlin(), at("2026-01-15T12:00:00Z")).unwrap();
        assert_eq!(total, PeriodBounds { start: None, end: None });
        assert_eq!(forecast(total, at("2026-01-15T12:00:00Z"), Money::from_trillionths(5)), None);
    }

    #[test]
    fn the_forecast_goes_on_at_the_pace_so_far() {
        let month = bounds(Period::Month, &TimeZone::UTC, at("2026-04-11T00:00:00Z")).unwrap();
        let spent: Money = "10.00".parse().unwrap();
        let third = forecast(month, at("2026-04-11T00:00:00Z"), spent);
        assert_eq!(third, Some("30.00".parse().unwrap()));
        let first_second = forecast(month, at("2026-04-01T00:00:01Z"), spent);
        assert_eq!(first_second, Some("1000.00".parse().unwrap()), "never more than a hundred times");
    }

    proptest! {
        #[test]
        fn periods_follow_each_other_without_a_gap(second in 0_i64..4_000_000_000, which in 0_usize..3) {
            let period = [Period::Day, Period::Week, Period::Month][which];
            let now = Timestamp::from_second(second).unwrap();
            let PeriodBounds { start: Some(start), end: Some(end) } = bounds(period, &berlin(), now).unwrap() else {
                return Err(TestCaseError::fail("a bound is missing"));
            };
            prop_assert!(start <= now && now < end);
            prop_assert_eq!(bounds(period, &berlin(), end).unwrap().start, Some(end));
            prop_assert_eq!(bounds(period, &berlin(), start).unwrap().start, Some(start));
            let spent = Money::from_trillionths(7);
            let foretold = forecast(PeriodBounds { start: Some(start), end: Some(end) }, now, spent).unwrap();
            prop_assert!(foretold >= spent);
        }
    }
}
