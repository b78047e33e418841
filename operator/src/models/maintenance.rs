//! Maintenance of the ledger and of what is shown from it: orders that have spent, Providers, Budgets, rows that are too old.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::provider::WindowUse;
use manyworlds_ledger::{LedgerError, OrderReference};
use tokio::time::MissedTickBehavior;

use super::ledger_view::{Models, count, provider_key};
use crate::catalogue::{Reach, Spending, Traffic};
use crate::index::OrderKey;
use crate::reconcile::queue::WorkQueue;

/// The interval between two searches for orders that have spent.
const INTERVAL: Duration = Duration::from_secs(1);
/// The number of intervals between two updates of Providers and Budgets.
const PROVIDERS_EVERY: u32 = 10;
/// The number of intervals between two removals of old rows.
const EXPIRY_EVERY: u32 = 600;

/// Does the maintenance, for ever.
pub(crate) async fn maintain(models: Models, queue: WorkQueue<OrderKey>, retention: SignedDuration) {
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was settled before this process began is shown too.
    let mut since = Timestamp::UNIX_EPOCH;
    let mut limited = HashSet::new();
    for number in 0_u32.. {
        tick.tick().await;
        let now = Timestamp::now();
        match wake_spenders(&models, &queue, since).await {
            // Rows of the same moment may come later; those that were seen already wake an order once more, which is nothing.
            Ok(()) => since = now - SignedDuration::from_secs(2),
            Err(error) => tracing::warn!(%error, "the ledger could not be read"),
        }
        limited = wake_limited(&models, &queue, &limited, now);
        if number % PROVIDERS_EVERY == 0
            && let Err(error) = update_catalogue(&models, now).await
        {
            tracing::warn!(%error, "what Providers and Budgets have used could not be read");
        }
        if number % EXPIRY_EVERY == 0 {
            match models.ledger.expire(now - retention, now).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "removed what is older than the ledger's retention"),
                Err(error) => tracing::warn!(%error, "old rows could not be removed"),
            }
        }
    }
}

async fn wake_spenders(models: &Models, queue: &WorkQueue<OrderKey>, since: Timestamp) -> Result<(), LedgerError> {
    for touched in models.ledger.orders_charged_since(since).await? {
        wake(models, queue, &touched);
    }
    Ok(())
}

/// Wakes the orders whose calls have had too little room since a moment ago. Returns all of those that have.
fn wake_limited(
    models: &Models,
    queue: &WorkQueue<OrderKey>,
    before: &HashSet<String>,
    now: Timestamp,
) -> HashSet<String> {
    let limited = models.waits.limited(now);
    for order in limited.iter().filter(|order| !before.contains(&order.order_uid)) {
        wake(models, queue, order);
    }
    limited.into_iter().map(|order| order.order_uid).collect()
}

fn wake(models: &Models, queue: &WorkQueue<OrderKey>, order: &OrderReference) {
    let key = OrderKey { namespace: order.namespace.as_str().into(), name: order.work_order.as_str().into() };
    let known = models.index.order(&key);
    if known.is_some_and(|known| *known.uid() == *order.order_uid) {
        queue.add(key);
    }
}

/// Hands to the catalogue what the ledger knows of Providers and Budgets.
async fn update_catalogue(models: &Models, now: Timestamp) -> Result<(), LedgerError> {
    for (namespace, name) in models.catalogue.providers() {
        let traffic = traffic(models, &provider_key(&namespace, &name), now).await?;
        models.catalogue.note_traffic(&namespace, &name, traffic);
    }
    for (namespace, name, budget) in models.catalogue.budgets(now) {
        let account = models.ledger.balance(&format!("budget/{}", budget.uid), budget.bounds.start).await?;
        let spending = Spending { spent: account.spent.cost, reserved: account.reserved.cost };
        models.catalogue.note_spending(&namespace, &name, spending);
    }
    Ok(())
}

async fn traffic(models: &Models, provider: &str, now: Timestamp) -> Result<Traffic, LedgerError> {
    let midnight = Timestamp::from_second(now.as_second().div_euclid(86_400) * 86_400).unwrap_or(now);
    let today = models.ledger.spending_of_provider(provider, midnight).await?;
    let breakers = models.ledger.breakers(provider).await?;
    let (requests, tokens) = models.ledger.rate_window(provider).await?.used(now);
    let last = models.ledger.last_call(provider).await?;
    let reach = last.map(|last| match last.outcome.as_str() {
        "Outage" if last.status == 0 => Reach::Failed("the last call had no answer".to_owned()),
        "Outage" if last.status < 300 => Reach::Failed("the last answer could not be read".to_owned()),
        "Outage" => Reach::Failed(format!("the last call was answered with {}", last.status)),
        _ => Reach::Answered,
    });
    Ok(Traffic {
        reach,
        breaker: breakers.values().map(|breaker| breaker.state(now)).max(),
        window: Some(WindowUse {
            summary: None,
            requests: count(requests),
            tokens: count(tokens.input.saturating_add(tokens.output)),
        }),
        cost_today: Some(today.cost),
    })
}
