//! Reads into the state what a batch touches and is not there yet.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use sqlx::{AnyConnection, AssertSqlSafe};

use super::Command;
use crate::call::{CallId, OpenReservation};
use crate::error::LedgerError;
use crate::state::{AccountKey, BreakerKey, LedgerState, account_key};
use crate::store::statement::{self, Row, Value};
use crate::store::tables::{BREAKER, BUDGETS, RATE_WINDOWS, RESERVATIONS, Table};
use crate::store::{account_of_row, open_reservation_of_row, parse_state};

/// The rows that a batch touches.
#[derive(Default)]
struct RowKeys {
    calls: BTreeSet<String>,
    providers: BTreeSet<String>,
    breakers: BTreeSet<BreakerKey>,
    accounts: BTreeSet<AccountKey>,
}

/// Reads every reservation. There are as many as calls are under way.
pub(super) async fn load_open_reservations(
    connection: &mut AnyConnection,
    state: &mut LedgerState,
) -> Result<(), LedgerError> {
    for row in sqlx::query(AssertSqlSafe(statement::all(&RESERVATIONS))).fetch_all(connection).await? {
        let (call, held) = open_reservation_of_row(statement::read(&RESERVATIONS, &row)?)?;
        state.held.insert(call, held);
    }
    state.complete = true;
    Ok(())
}

/// Reads the rows that are keys and are not in memory yet.
pub(super) async fn load_rows(
    connection: &mut AnyConnection,
    state: &mut LedgerState,
    asked: &[Command],
    lost: &[CallId],
) -> Result<(), LedgerError> {
    let mut keys = RowKeys::default();
    keys.calls.extend(lost.iter().map(|call| call.as_str().to_owned()));
    for one in asked {
        keys.note(one);
    }
    if state.complete {
        keys.calls.clear();
    }
    for row in select(connection, &RESERVATIONS, &keys.calls).await? {
        let (call, held) = open_reservation_of_row(row)?;
        state.held.insert(call, held);
    }
    let ending = asked.iter().filter_map(|one| match one {
        Command::Settle(call, ..) | Command::Release(call, ..) => Some(call),
        _ => None,
    });
    for call in ending.chain(lost) {
        if let Some(held) = state.held.get(call) {
            keys.note_held(held);
        }
    }
    load_map(connection, &RATE_WINDOWS, &mut state.windows, keys.providers, String::clone, |row, _| match row {
        [Value::Text(Some(provider)), _, Value::Text(Some(state))] => {
            Ok(Some((provider.clone(), parse_state(&RATE_WINDOWS, state)?)))
        }
        _ => Ok(None),
    })
    .await?;
    let first = |(provider, _): &BreakerKey| provider.clone();
    load_map(connection, &BREAKER, &mut state.breakers, keys.breakers, first, |row, wanted| match row {
        [Value::Text(Some(provider)), Value::Text(Some(model)), _, Value::Text(Some(state))] => {
            let key = (provider.clone(), model.clone());
            let is_wanted = wanted.contains(&key);
            is_wanted.then(|| Ok((key, parse_state(&BREAKER, state)?))).transpose()
        }
        _ => Ok(None),
    })
    .await?;
    let first = |(holder, _): &AccountKey| holder.clone();
    load_map(connection, &BUDGETS, &mut state.accounts, keys.accounts, first, |row, wanted| {
        Ok(account_of_row(row).filter(|(key, _)| wanted.contains(key)))
    })
    .await
}

impl RowKeys {
    fn note(&mut self, asked: &Command) {
        match asked {
            Command::Reserve(reservation, _) => {
                self.calls.insert(reservation.call.as_str().to_owned());
                self.providers.insert(reservation.provider.clone());
                self.breakers.insert((reservation.provider.clone(), reservation.model.clone()));
                self.accounts.extend(reservation.budgets.iter().map(account_key));
            }
            Command::Settle(call, ..) | Command::Release(call, ..) => drop(self.calls.insert(call.as_str().to_owned())),
            Command::UpstreamLimits { provider, .. } => drop(self.providers.insert(provider.clone())),
            Command::Recover(..)
            | Command::Put(..)
            | Command::CloseRuns { .. }
            | Command::Expire { .. }
            | Command::Close(_) => {}
        }
    }

    fn note_held(&mut self, held: &OpenReservation) {
        self.providers.insert(held.provider.clone());
        self.breakers.insert((held.provider.clone(), held.model.clone()));
        self.accounts.extend(held.details.budgets.iter().cloned());
    }
}

/// Reads into a map what is wanted and not in it yet. What has no row is as it is at the beginning.
///
/// - **Shape:** `first` returns the first column of a key, by which rows are found; `read` reads one that is wanted.
async fn load_map<K: Ord + Hash, V: Default>(
    connection: &mut AnyConnection,
    table: &'static Table,
    known: &mut HashMap<K, V>,
    mut wanted: BTreeSet<K>,
    first: impl Fn(&K) -> String,
    read: impl Fn(&[Value], &BTreeSet<K>) -> Result<Option<(K, V)>, LedgerError>,
) -> Result<(), LedgerError> {
    wanted.retain(|key| !known.contains_key(key));
    for row in select(connection, table, &wanted.iter().map(first).collect()).await? {
        known.extend(read(&row, &wanted)?);
    }
    for key in wanted {
        known.entry(key).or_default();
    }
    Ok(())
}

async fn select(
    connection: &mut AnyConnection,
    table: &'static Table,
    keys: &BTreeSet<String>,
) -> Result<Vec<Row>, LedgerError> {
    let keys: Vec<_> = keys.iter().cloned().collect();
    let mut rows = Vec::new();
    for chunk in statement::chunks(&keys) {
        let mut query = sqlx::query(AssertSqlSafe(statement::selection(table, chunk.len())));
        for key in chunk {
            query = query.bind(key.clone());
        }
        for row in query.fetch_all(&mut *connection).await? {
            rows.push(statement::read(table, &row)?);
        }
    }
    Ok(rows)
}
