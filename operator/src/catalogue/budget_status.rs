//! The status of a Budget: a pure function of what is known.

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use manyworlds_api::conditions::{BudgetCondition, Reason, Truth, condition, set, truth};
use manyworlds_api::{Budget, BudgetStatus, Money};
use manyworlds_metering::period::{self, PeriodBounds};
use manyworlds_telemetry::BudgetLabel;

/// Money of a Budget's present period, as the ledger knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// The cost of calls that have ended.
    pub spent: Money,
    /// The most that calls under way can cost.
    pub reserved: Money,
}

/// A time zone that the operator does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {zone:?}; write spec.timeZone as in the IANA database, such as Europe/Berlin or UTC")]
pub struct UnknownZone {
    zone: String,
}

/// Returns the period of a Budget in which a time lies.
///
/// # Errors
///
/// [`UnknownZone`] (class: spec).
pub fn bounds(budget: &Budget, now: Timestamp) -> Result<PeriodBounds, UnknownZone> {
    let unknown = || UnknownZone { zone: budget.spec.time_zone.clone() };
    let zone = TimeZoneDatabase::bundled().get(&budget.spec.time_zone).map_err(|_| unknown())?;
    period::bounds(budget.spec.period, &zone, now).map_err(|_| unknown())
}

/// Returns the greatest percentage at which a Budget warns, of those that are reached.
fn reached(budget: &Budget, spent: Money) -> Option<i32> {
    let amount = budget.spec.amount.trillionths();
    let due = |percent: i32| amount.saturating_mul(u128::try_from(percent).unwrap_or_default());
    let reached = |percent: &i32| spent.trillionths().saturating_mul(100) >= due(*percent);
    budget.spec.warn_at.iter().copied().filter(reached).max()
}

/// Returns the state of a Budget by its status.
pub fn word(budget: &Budget) -> BudgetLabel {
    let Some(status) = &budget.status else { return BudgetLabel::Within };
    match (truth(&status.conditions, BudgetCondition::Exceeded.as_str()), status.warned) {
        (Truth::True, _) => BudgetLabel::Exceeded,
        (Truth::False | Truth::Unknown, Some(_)) => BudgetLabel::Warned,
        (Truth::False | Truth::Unknown, None) => BudgetLabel::Within,
    }
}

/// Returns the text of the Event when a Budget reaches a percentage at which it warns.
///
/// - **Shape:** `None` where nothing new is reached.
pub fn warning(budget: &Budget, before: Option<i32>, status: &BudgetStatus) -> Option<String> {
    let percent = status.warned.filter(|percent| before.is_none_or(|before| before < *percent))?;
    let (spent, amount) = (status.spent.unwrap_or_default(), budget.spec.amount);
    let forecast = status
        .forecast
        .map_or_else(String::new, |forecast| format!("; at the present pace the period will have cost {forecast}"));
    Some(format!("{percent} percent of the Budget is spent: {spent} of {amount} dollars{forecast}"))
}

/// Returns the status that a Budget should have.
///
/// - **Guarantees:** nothing changes when it is called again with its own result as the present status. Without `spending`, before the ledger has spoken, what was shown of money stays. The forecast is in whole cents, rounded up, so that it does not change with every look.
pub fn of_budget(budget: &Budget, spending: Option<Spending>, now: Timestamp) -> BudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    let generation = budget.metadata.generation;
    status.observed_generation = generation;
    let bounds = match bounds(budget, now) {
        Ok(bounds) => bounds,
        Err(error) => {
            let said = error.to_string();
            let line = (BudgetCondition::Ready.as_str(), Truth::False, Reason::InvalidSpecification);
            set(&mut status.conditions, condition(line.0, line.1, line.2, &said, generation, now));
            status.message = Some(said);
            return status;
        }
    };
    let ready = "The Budget holds the orders that it selects.";
    let ready = condition(BudgetCondition::Ready.as_str(), Truth::True, Reason::Ready, ready, generation, now);
    set(&mut status.conditions, ready);
    status.message = None;
    status.period_start = bounds.start.map(Time);
    status.period_end = bounds.end.map(Time);
    let Some(spending) = spending else { return status };
    let amount = budget.spec.amount.trillionths();
    let used = spending.spent.trillionths().saturating_add(spending.reserved.trillionths());
    let exceeded = spending.spent.trillionths() >= amount;
    let (truth, reason, said) = if exceeded {
        let said =
            format!("All of {} dollars is spent; raise spec.amount or wait for the next period.", budget.spec.amount);
        (Truth::True, Reason::BudgetExhausted, said)
    } else {
        (Truth::False, Reason::WithinBudget, "Money is left.".to_owned())
    };
    set(&mut status.conditions, condition(BudgetCondition::Exceeded.as_str(), truth, reason, &said, generation, now));
    status.message = exceeded.then_some(said);
    status.warned = reached(budget, spending.spent);
    status.spent = Some(spending.spent);
    status.reserved = Some(spending.reserved);
    status.left = Some(Money::from_trillionths(amount.saturating_sub(used)));
    status.forecast = period::forecast(bounds, now, spending.spent).map(whole_cents);
    status
}

fn whole_cents(money: Money) -> Money {
    const CENT: u128 = 10_000_000_000;
    Money::from_trillionths(money.trillionths().div_ceil(CENT).saturating_mul(CENT))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn budget(zone: &str) -> Budget {
        serde_json::from_value(json!({
            "apiVersion": "manyworlds.dev/v1alpha1", "kind": "Budget",
            "metadata": {"name": "month", "namespace": "team", "generation": 1},
            "spec": {"amount": "10.00", "timeZone": zone},
        }))
        .unwrap()
    }

    fn spending(spent: &str, reserved: &str) -> Option<Spending> {
        spent.parse().ok().zip(reserved.parse().ok()).map(|(spent, reserved)| Spending { spent, reserved })
    }

    #[test]
    fn looking_at_a_budget_again_changes_nothing() {
        let mut budget = budget("Europe/Berlin");
        let first = of_budget(&budget, Some(Spending::default()), at("2026-01-15T12:00:00Z"));
        budget.status = Some(first.clone());
        assert_eq!(of_budget(&budget, Some(Spending::default()), at("2026-01-15T12:05:00Z")), first);
    }

    #[test]
    fn a_budget_shows_what_is_left_when_all_reservations_are_used() {
        let status = of_budget(&budget("Europe/Berlin"), spending("4.00", "1.50"), at("2026-01-15T23:00:00Z"));
        assert_eq!(status.left, Some("4.50".parse().unwrap()));
        assert_eq!(status.period_start, Some(Time(at("2025-12-31T23:00:00Z"))));
        assert_eq!(status.period_end, Some(Time(at("2026-01-31T23:00:00Z"))));
        assert_eq!(status.forecast, Some("8.27".parse().unwrap()), "15 of 31 days, rounded up to a cent");
        assert_eq!(truth(&status.conditions, "Exceeded"), Truth::False);
        let status = of_budget(&budget("UTC"), spending("10.00", "0.00"), at("2026-01-15T23:00:00Z"));
        assert_eq!(truth(&status.conditions, "Exceeded"), Truth::True);
        assert_eq!(status.left, Some(Money::default()));
    }

    #[test]
    fn a_budget_warns_once_at_each_percentage_and_again_in_the_next_period() {
        let mut budget = budget("UTC");
        budget.spec.warn_at = vec![50, 80];
        let now = at("2026-01-15T23:00:00Z");
        let look = |budget: &Budget, spent| of_budget(budget, spending(spent, "0.00"), now);
        let quiet = look(&budget, "4.99");
        assert_eq!((quiet.warned, warning(&budget, None, &quiet)), (None, None));
        let half = look(&budget, "5.00");
        assert_eq!(half.warned, Some(50));
        let said = warning(&budget, None, &half).unwrap();
        assert!(
            said.starts_with("50 percent of the Budget is spent: 5.00 of 10.00 dollars; at the present pace"),
            "{said}"
        );
        assert_eq!(warning(&budget, Some(50), &look(&budget, "7.99")), None, "said before");
        assert!(warning(&budget, Some(50), &look(&budget, "8.00")).unwrap().starts_with("80 percent"));
        assert_eq!(look(&budget, "0.00").warned, None, "a new period begins without warnings");
    }

    #[test]
    fn before_the_ledger_has_spoken_money_stays_as_it_was_shown() {
        let mut budget = budget("UTC");
        let now = at("2026-01-15T23:00:00Z");
        assert_eq!(of_budget(&budget, None, now).spent, None);
        budget.status = Some(of_budget(&budget, spending("4.00", "0.00"), now));
        assert_eq!(of_budget(&budget, None, now).spent, Some("4.00".parse().unwrap()));
    }

    #[test]
    fn a_time_zone_that_nobody_knows_is_named() {
        let status = of_budget(&budget("Europe/Atlantis"), Some(Spending::default()), at("2026-01-15T12:00:00Z"));
        assert_eq!(truth(&status.conditions, "Ready"), Truth::False);
        assert!(status.message.unwrap().contains("Europe/Atlantis"));
    }
}
