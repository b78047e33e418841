//! The ledger on both databases (R8, W10, W16): each check is a test on a SQLite file and one on a PostgreSQL server.
//!
//! The checks of the module `accounting` are the eight bugs of another proxy's ledger that docs/maintainers/ledger.md lists.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a check that cannot go on has failed")]

#[path = "stores/accounting.rs"]
mod accounting;
#[path = "stores/keeping.rs"]
mod keeping;
#[path = "stores/outages.rs"]
mod outages;
mod support;
#[path = "stores/totals.rs"]
mod totals;
#[path = "stores/unreadable.rs"]
mod unreadable;

use manyworlds_ledger::{LedgerError, migrations};
use support::{own_server, shared_server};

/// Makes a test of each check on a new SQLite file and one on a new PostgreSQL database.
macro_rules! on_both_stores {
    ($($module:ident :: $check:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $check() {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}/ledger.db", folder.path().display());
                manyworlds_ledger::migrations::up(&url).await.unwrap();
                crate::$module::$check(url).await;
            })*
        }
        on_postgresql!(on_postgresql: $($module :: $check),*);
    };
}

/// Makes a test of each check on a new PostgreSQL database.
macro_rules! on_postgresql {
    ($tests:ident: $($module:ident :: $check:ident),* $(,)?) => {
        mod $tests {
            $(#[tokio::test]
            async fn $check() {
                let Some(server) = crate::support::shared_server() else { return };
                let url = server.database(stringify!($check));
                manyworlds_ledger::migrations::up(&url).await.unwrap();
                crate::$module::$check(url).await;
            })*
        }
    };
}

on_both_stores![
    accounting::leaked_reservation,
    accounting::double_re_seed,
    accounting::inflated_counter,
    accounting::bypassed_budget,
    accounting::phantom_excess,
    accounting::stale_spend,
    accounting::cool_down_skipped_on_fallback,
    accounting::out_of_credit,
    keeping::a_restart_forgets_neither_window_nor_breaker,
    keeping::sixty_four_callers_at_once_are_all_counted,
    keeping::history_is_kept_with_its_references_and_expires,
    keeping::one_bad_record_does_not_take_others_with_it,
    keeping::what_an_order_has_spent_can_be_read,
    keeping::any_text_and_any_amount_is_kept,
    keeping::failures_are_in_the_audit_log,
    totals::totals_are_the_same_in_the_next_life_and_stay_when_rows_go,
    totals::a_call_whose_process_died_is_in_the_totals_once,
    unreadable::an_unreadable_time_is_an_error,
    unreadable::an_unreadable_number_is_an_error,
    unreadable::an_unreadable_state_is_an_error,
    unreadable::an_unreadable_outcome_is_an_error,
];

on_postgresql![
    of_several_processes: accounting::one_that_dies_beside_another,
    totals::totals_of_one_are_seen_by_another,
];

#[tokio::test]
async fn a_value_of_another_type_in_sqlite_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/ledger.db", folder.path().display());
    migrations::up(&url).await.unwrap();
    unreadable::a_text_in_place_of_a_number_is_an_error(url).await;
}

#[tokio::test]
async fn the_ledger_goes_on_after_its_database_was_away() {
    let Some(mut server) = own_server() else { return };
    let url = server.database("ledger");
    migrations::up(&url).await.unwrap();
    outages::a_connection_that_the_server_ends_is_made_anew_unseen(&server, &url).await;
    outages::calls_go_on_when_the_server_has_started_again(&mut server, &url).await;
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_process_that_holds_the_lock_or_has_taken_over() {
    let Some(server) = own_server() else { return };
    let url = server.database("ledger");
    migrations::up(&url).await.unwrap();
    outages::who_meets_a_lock_that_is_held_gets_an_error(&url).await;
    outages::who_is_superseded_is_told_so(&url).await;
}

#[tokio::test]
async fn migrations_go_up_and_down_on_both_and_a_transfer_verifies_what_it_moved() {
    let Some(server) = shared_server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}/ledger.db", folder.path().display());
    let postgres = server.database("moved");
    assert!(matches!(migrations::check(&sqlite).await, Err(LedgerError::Missing(_))), "and no file is made");
    assert!(migrations::check(&postgres).await.unwrap().applied.is_empty());
    for url in [&sqlite, &postgres] {
        migrations::up(url).await.unwrap();
        let before = migrations::down(url).await.unwrap();
        assert!(before.applied.is_empty() && !before.pending.is_empty());
        let up = migrations::up(url).await.unwrap();
        assert!(up.pending.is_empty());
        assert_eq!(migrations::up(url).await.unwrap(), up, "again changes nothing");
        assert_eq!(migrations::down(url).await.unwrap(), before);
        migrations::up(url).await.unwrap();
    }
    keeping::is_moved(&sqlite, &postgres).await;
}
