//! Decides which failures of upstream are tried again, when, and which count for the breaker.

use std::time::Duration;

use manyworlds_api::provider::Protocol;
use serde_json::Value;

/// The first wait. It is that of the official clients.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait, where upstream names none. It is that of the official clients.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// The most that chance takes off a wait, in percent. It is that of the official clients.
const JITTER_PERCENT: u32 = 25;

/// The meaning of an answer of upstream that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Upstream is in trouble. It is tried again and counts for the breaker.
    Outage,
    /// Another request was in the way. It is tried again and does not count for the breaker.
    Busy,
    /// The rate limit. It is tried again after the time that upstream names. Nobody calls before that. It does not count for the
    /// breaker.
    RateLimited,
    /// Money or quota is used up. It is never tried again.
    Quota,
    /// The key is wrong or lacks a right. It is never tried again.
    Credential,
    /// The request is wrong. It is never tried again.
    Request,
}

impl Failure {
    /// Returns the meaning of an answer, or nothing for a success.
    pub fn of(protocol: Protocol, status: u16, body: &Value) -> Option<Self> {
        match status {
            0..=399 => None,
            401 | 403 => Some(Self::Credential),
            402 => Some(Self::Quota),
            400 if protocol == Protocol::Anthropic && no_credit(body) => Some(Self::Quota),
            408 | 409 => Some(Self::Busy),
            429 if is_quota(body) => Some(Self::Quota),
            429 => Some(Self::RateLimited),
            400..=499 => Some(Self::Request),
            _ => Some(Self::Outage),
        }
    }

    /// Returns whether the same call may be made again.
    pub const fn may_be_tried_again(self) -> bool {
        matches!(self, Self::Outage | Self::Busy | Self::RateLimited)
    }

    /// Returns whether the breaker counts it.
    pub const fn counts_for_the_breaker(self) -> bool {
        matches!(self, Self::Outage)
    }
}

fn is_quota(body: &Value) -> bool {
    let error = &body["error"];
    [&error["code"], &error["type"]].into_iter().any(|word| {
        word.as_str()
            .is_some_and(|word| matches!(word, "insufficient_quota" | "billing_error" | "billing_hard_limit_reached"))
    })
}

fn no_credit(body: &Value) -> bool {
    let message = body["error"]["message"].as_str().unwrap_or_default();
    // Only at the beginning: a refusal may repeat words of the request behind its own.
    ["Your credit balance is too low", "You have reached your specified"].iter().any(|words| message.starts_with(words))
}

/// Returns the wait before an attempt, where upstream names none.
///
/// - **Shape:** `attempt` is the number of attempts so far, from 1. `chance` is from 0 to 99.
/// - **Guarantees:** it is between 375 ms and 8 s. A wait that upstream asks for is never cut short.
pub fn wait(attempt: u32, chance: u32, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked {
        return asked;
    }
    let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let whole = doubled.min(LONGEST_WAIT);
    whole * (100 - chance.min(99) * JITTER_PERCENT / 99) / 100
}

/// Returns how many attempts the gateway may make of a call. The client's own earlier attempts count.
///
/// - **Shape:** `client_retries` is the number in `x-stainless-retry-count`, the header of the official clients; 0 without it.
/// - **Guarantees:** at least one, because a client that asks is answered. All together they are at most `most` where the client
///   obeys `x-should-retry: false`.
pub fn attempts_left(most: u32, client_retries: u32) -> u32 {
    most.saturating_sub(client_retries).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_status_has_its_own_meaning() {
        let none = Value::Null;
        for (status, failure) in [
            (200, None),
            (400, Some(Failure::Request)),
            (401, Some(Failure::Credential)),
            (402, Some(Failure::Quota)),
            (403, Some(Failure::Credential)),
            (404, Some(Failure::Request)),
            (408, Some(Failure::Busy)),
            (409, Some(Failure::Busy)),
            (413, Some(Failure::Request)),
            (429, Some(Failure::RateLimited)),
            (500, Some(Failure::Outage)),
            (503, Some(Failure::Outage)),
            (529, Some(Failure::Outage)),
        ] {
            for protocol in Protocol::ALL {
                assert_eq!(Failure::of(*protocol, status, &none), failure, "{status}");
            }
        }
    }

    #[test]
    fn used_up_money_is_never_tried_again_and_is_no_outage() {
        let quota = json!({"error": {"code": "insufficient_quota", "type": "insufficient_quota"}});
        let credit = json!({"error": {"message": "Your credit balance is too low to access the API"}});
        let limit = json!({"error": {"message": "You have reached your specified API usage limits."}});
        let cases =
            [(Protocol::OpenAi, 429, quota), (Protocol::Anthropic, 400, credit), (Protocol::Anthropic, 400, limit)];
        for (protocol, status, body) in cases {
            let failure = Failure::of(protocol, status, &body).unwrap();
            assert_eq!(failure, Failure::Quota);
            assert!(!failure.may_be_tried_again() && !failure.counts_for_the_breaker());
        }
    }

    #[test]
    fn no_world_can_have_a_provider_taken_for_out_of_credit() {
        let echoed = json!({"error": {"message": "usage limits: Extra inputs are not permitted"}});
        assert_eq!(Failure::of(Protocol::Anthropic, 400, &echoed), Some(Failure::Request));
    }

    #[test]
    fn the_clients_own_attempts_count() {
        assert_eq!([0, 1, 2, 9].map(|made| attempts_left(3, made)), [3, 2, 1, 1]);
    }

    proptest! {
        #[test]
        fn waits_grow_within_their_bounds(attempt in 0_u32..100, chance in 0_u32..200) {
            let found = wait(attempt, chance, None);
            prop_assert!(found >= Duration::from_millis(375) && found <= LONGEST_WAIT);
            prop_assert!(wait(attempt + 1, chance, None) >= found);
            let wished = Duration::from_mins(2);
            prop_assert_eq!(wait(attempt, chance, Some(wished)), wished);
        }
    }
}
