//! Loads the rows that a batch needs into the state.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::call::{CallId, OpenReservation};
use crate::command::Command;
use crate::error::LedgerError;
use crate::state::{AccountKey, BreakerKey, LedgerState, account_key};
use crate::store::rows::{BREAKER, BUDGETS, RATE_WINDOWS, RESERVATIONS, balance, breaker, open_reservation, window};
use crate::store::statement::{select, selection};
use crate::store::table::{Table, read};
use crate::store::value::Row;

/// The keys of the rows that a batch needs.
#[derive(Default)]
struct RowKeys {
    calls: BTreeSet<String>,
    providers: BTreeSet<String>,
    breakers: BTreeSet<BreakerKey>,
    accounts: BTreeSet<AccountKey>,
}

/// Loads every reservation. There are as many as calls in flight.
pub(super) async fn load_open_reservations(
    connection: &mut AnyConnection,
    state: &mut LedgerState,
) -> Result<(), LedgerError> {
    for row in sqlx::query(AssertSqlSafe(selection(&RESERVATIONS))).fetch_all(connection).await? {
        let (call, open) = open_reservation(read(&RESERVATIONS, &row)?)?;
        state.open.insert(call, open);
    }
    state.is_complete = true;
    Ok(())
}

/// Loads the rows that a batch needs and that are not in memory yet.
pub(super) async fn load_rows(
    connection: &mut AnyConnection,
    state: &mut LedgerState,
    commands: &[Command],
    lost: &[CallId],
) -> Result<(), LedgerError> {
    let mut keys = RowKeys::default();
    keys.calls.extend(lost.iter().map(|call| call.as_str().to_owned()));
    for command in commands {
        keys.add(command);
    }
    if state.is_complete {
        keys.calls.clear();
    }
    let calls: Vec<_> = std::mem::take(&mut keys.calls).into_iter().collect();
    for row in select(connection, &RESERVATIONS, &calls).await? {
        let (call, open) = open_reservation(row)?;
        state.open.insert(call, open);
    }
    let ending = commands.iter().filter_map(|command| match command {
        Command::Settle(call, ..) | Command::Release(call, ..) => Some(call),
        _ => None,
    });
    for call in ending.chain(lost) {
        if let Some(open) = state.open.get(call) {
            keys.add_open(open);
        }
    }
    load_map(connection, &RATE_WINDOWS, &mut state.windows, keys.providers, String::clone, window).await?;
    let first = |(provider, _): &BreakerKey| provider.clone();
    load_map(connection, &BREAKER, &mut state.breakers, keys.breakers, first, breaker).await?;
    let first = |(key, _): &AccountKey| key.clone();
    load_map(connection, &BUDGETS, &mut state.balances, keys.accounts, first, balance).await
}

impl RowKeys {
    fn add(&mut self, command: &Command) {
        match command {
            Command::Reserve(reservation, _) => {
                self.calls.insert(reservation.call.as_str().to_owned());
                self.providers.insert(reservation.provider.clone());
                self.breakers.insert((reservation.provider.clone(), reservation.model.clone()));
                self.accounts.extend(reservation.budgets.iter().map(account_key));
            }
            Command::Settle(call, ..) | Command::Release(call, ..) => drop(self.calls.insert(call.as_str().to_owned())),
            Command::UpstreamLimits { provider, .. } => drop(self.providers.insert(provider.clone())),
            Command::Recover(..)
            | Command::Insert(..)
            | Command::CloseRuns { .. }
            | Command::Expire { .. }
            | Command::Close(_) => {}
        }
    }

    fn add_open(&mut self, open: &OpenReservation) {
        self.providers.insert(open.provider.clone());
        self.breakers.insert((open.provider.clone(), open.model.clone()));
        self.accounts.extend(open.details.budgets.iter().cloned());
    }
}

/// Loads into a map the rows that are wanted and not in it yet. A key without a row gets the default.
///
/// - **Shape:** `first` returns the first column of a key, by which rows are selected; `read` reads a row.
async fn load_map<K: Ord + Hash, V: Default>(
    connection: &mut AnyConnection,
    table: &'static Table,
    map: &mut HashMap<K, V>,
    mut wanted: BTreeSet<K>,
    first: impl Fn(&K) -> String,
    read: impl Fn(Row) -> Result<(K, V), LedgerError>,
) -> Result<(), LedgerError> {
    wanted.retain(|key| !map.contains_key(key));
    let firsts: BTreeSet<_> = wanted.iter().map(first).collect();
    let firsts: Vec<_> = firsts.into_iter().collect();
    for row in select(connection, table, &firsts).await? {
        let (key, value) = read(row)?;
        // Rows that are not wanted share the first column of their key with one that is; those in memory may be newer.
        if wanted.contains(&key) {
            map.insert(key, value);
        }
    }
    for key in wanted {
        map.entry(key).or_default();
    }
    Ok(())
}
