//! The status of a Provider: a pure function of what is known.

use jiff::Timestamp;
use manyworlds_api::conditions::{ProviderCondition, Reason, Truth, condition, set};
use manyworlds_api::object::Stored;
use manyworlds_api::provider::{BreakerState, Limits, WindowUse};
use manyworlds_api::{Money, Provider, ProviderStatus};
use manyworlds_metering::model_choice::{NamedProvider, price};
use manyworlds_metering::price_table::PriceTable;

use super::key::KeyState;

/// The calls to a Provider, as the gateway and the ledger know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The end of the last call; `None` before the first.
    pub reach: Option<Reach>,
    /// The breaker that is furthest from closed.
    pub breaker: Option<BreakerState>,
    /// Requests and tokens of the last minute.
    pub window: Option<WindowUse>,
    /// The cost of today's calls.
    pub cost_today: Option<Money>,
}

/// The end of the last call to a Provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The Provider answered.
    Answered,
    /// The Provider did not answer; with a sentence on what happened.
    Failed(String),
}

/// Returns the status that a Provider should have.
///
/// - **Guarantees:** nothing changes when it is called again with its own result as the present status. So the status is written only
///   when something has changed.
pub fn of_provider(
    provider: &Stored<Provider>,
    key: &KeyState,
    traffic: &Traffic,
    table: &PriceTable,
    now: Timestamp,
) -> ProviderStatus {
    let mut status = provider.status.clone().unwrap_or_default();
    let generation = provider.metadata.generation;
    let named = NamedProvider { name: provider.name(), spec: &provider.spec };
    let priced: Vec<_> = provider.spec.models.iter().map(|model| price(named, model, table)).collect();
    let unpriced = priced.iter().find_map(|found| found.as_ref().err());
    let (ready, reason, message) = match (key.problem(), unpriced) {
        (Some((reason, message)), _) => (Truth::False, reason, message),
        (None, Some(error)) => (Truth::False, Reason::PriceUnknown, error.to_string()),
        (None, None) => (Truth::True, Reason::Ready, "The key and the prices are there.".to_owned()),
    };
    let (reachable, why, said) = match &traffic.reach {
        None => (Truth::Unknown, Reason::NotCalled, "No call has been made yet.".to_owned()),
        Some(Reach::Answered) => (Truth::True, Reason::Answering, "The last call was answered.".to_owned()),
        Some(Reach::Failed(said)) => (Truth::False, Reason::ProviderUnavailable, said.clone()),
    };
    let wrong = match (ready, reachable) {
        (Truth::True, Truth::False) => Some(said.clone()),
        (Truth::True, _) => None,
        _ => Some(message.clone()),
    };
    for (kind, truth, reason, message) in
        [(ProviderCondition::Ready, ready, reason, message), (ProviderCondition::Reachable, reachable, why, said)]
    {
        set(&mut status.conditions, condition(kind.as_str(), truth, reason, &message, generation, now));
    }
    status.observed_generation = generation;
    status.message = wrong;
    status.models = i32::try_from(priced.iter().filter(|found| found.is_ok()).count()).unwrap_or(i32::MAX);
    status.breaker = traffic.breaker;
    status.window = traffic.window.clone().map(|window| {
        let percent = percent_used(&window, &provider.spec.limits);
        WindowUse { summary: Some(format!("{percent}%")), ..window }
    });
    status.cost_today = traffic.cost_today;
    status
}

/// Returns how much of its limits a Provider has used, in percent of the one of which the most was used.
pub fn percent_used(window: &WindowUse, limits: &Limits) -> i64 {
    let percent = |used: i64, limit: i64| {
        let limit = limit.max(1);
        used.max(0).saturating_mul(100).saturating_add(limit - 1) / limit
    };
    percent(window.requests, limits.requests_per_minute).max(percent(window.tokens, limits.tokens_per_minute)).min(100)
}

#[cfg(test)]
mod tests {
    use manyworlds_api::conditions::truth;
    use serde_json::json;

    use super::*;
    use crate::index::fixtures::stored;

    fn is_ready(status: &ProviderStatus) -> bool {
        truth(&status.conditions, ProviderCondition::Ready.as_str()) == Truth::True
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn provider(model: &str) -> Stored<Provider> {
        stored(json!({
            "apiVersion": "manyworlds.dev/v1alpha1", "kind": "Provider",
            "metadata": {
                "name": "own", "namespace": "team", "generation": 3, "uid": "p", "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"protocol": "OpenAI", "baseUrl": "https://example.com/v1", "models": [{"name": "gpt-5"}, {"name": model}]},
        }))
    }

    #[test]
    fn a_provider_without_a_price_is_not_ready_and_says_how_to_price_it() {
        let table = PriceTable::listed().unwrap();
        let now = at("2026-01-15T12:00:00Z");
        let status = of_provider(&provider("house"), &KeyState::NotNeeded, &Traffic::default(), &table, now);
        assert!(!is_ready(&status));
        assert_eq!(status.models, 1);
        assert!(status.message.unwrap().contains("prices.input"));
        let status = of_provider(&provider("gpt-4o"), &KeyState::NotNeeded, &Traffic::default(), &table, now);
        assert!(is_ready(&status));
        assert_eq!((status.models, status.message), (2, None));
    }

    #[test]
    fn looking_at_a_provider_again_changes_nothing() {
        let table = PriceTable::listed().unwrap();
        let mut provider = provider("house");
        let traffic = Traffic { reach: Some(Reach::Failed("It is away.".to_owned())), ..Traffic::default() };
        let first = of_provider(&provider, &KeyState::Here, &traffic, &table, at("2026-01-15T12:00:00Z"));
        provider.object_mut().status = Some(first.clone());
        assert_eq!(of_provider(&provider, &KeyState::Here, &traffic, &table, at("2026-01-15T12:05:00Z")), first);
    }

    #[test]
    fn a_provider_shows_how_much_of_its_limits_is_used() {
        let table = PriceTable::listed().unwrap();
        let provider = provider("gpt-4o");
        let used = |requests, tokens| {
            let window = WindowUse { summary: None, requests, tokens };
            let traffic = Traffic { window: Some(window), ..Traffic::default() };
            let status = of_provider(&provider, &KeyState::Here, &traffic, &table, at("2026-01-15T12:00:00Z"));
            status.window.unwrap().summary.unwrap()
        };
        assert_eq!(used(0, 0), "0%");
        assert_eq!(used(25, 4_000), "50%", "of 50 calls and 40,000 tokens");
        assert_eq!(used(1, 39_999), "100%", "rounded up");
    }
}
