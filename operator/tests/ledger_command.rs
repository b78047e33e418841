//! `manyworlds-operator ledger` as people use it: the program itself, a SQLite file and a PostgreSQL server.

#![expect(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

#[path = "../../ledger/tests/support/postgres.rs"]
mod postgres;

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use manyworlds_ledger::history::{ExecutionRun, HistoryRecord};
use manyworlds_ledger::{Ledger, LedgerError, rows};
use postgres::Postgres;

/// The output of the program.
struct Ended {
    code: Option<i32>,
    output: String,
    error: String,
}

/// Runs `manyworlds-operator ledger` in an environment as a pod of the chart has it.
fn ledger_command(arguments: &[&str]) -> Ended {
    let mut program = Command::new(env!("CARGO_BIN_EXE_manyworlds-operator"));
    program.arg("ledger").args(arguments).env_clear().env("MANYWORLDS_NAMESPACE", "manyworlds-system");
    program.env("MANYWORLDS_LEDGER_RETENTION_DAYS", "30");
    let output = program.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), output: text(&output.stdout), error: text(&output.stderr) }
}

fn did(arguments: &[&str]) -> String {
    let ended = ledger_command(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.error);
    ended.output
}

fn refused(arguments: &[&str], why: &str) {
    let ended = ledger_command(arguments);
    assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.output);
    assert!(ended.error.contains(why), "{arguments:?}: {}", ended.error);
}

fn sqlite(folder: &Path, name: &str) -> String {
    format!("sqlite://{}/{name}", folder.display())
}

async fn open(url: &str) -> Ledger {
    loop {
        match Ledger::open(url, "manyworlds-0", Timestamp::now()).await {
            // The one before has ended, and gives the file free in a moment.
            Err(LedgerError::Taken(_)) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            opened => return opened.unwrap(),
        }
    }
}

async fn write(ledger: &Ledger, runs: usize) {
    for number in 0..runs {
        let run = ExecutionRun { id: format!("run-{number}"), ..ExecutionRun::default() };
        ledger.record(&[HistoryRecord::Run(run)]).await.unwrap();
    }
}

#[tokio::test]
async fn tables_go_up_and_down_on_both() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Postgres::start());
    let file = sqlite(folder.path(), "ledger.db");
    refused(&["check", "--url", &file], "there is no ledger in the file");
    assert!(!folder.path().join("ledger.db").exists(), "looking makes nothing");
    let database = server.database("ledger");
    let ended = ledger_command(&["check", "--url", &database]);
    assert_eq!(ended.code, Some(3), "{}", ended.error);
    for url in [&file, &database] {
        did(&["up", "--url", url]);
        assert!(did(&["check", "--url", url]).contains("those of this version"));
        let ledger = open(url).await;
        write(&ledger, 2).await;
        refused(&["down", "--url", url], "2 rows");
        refused(
            &["down", "--url", url, "--delete-rows"],
            if *url == file { "another process" } else { "manyworlds-0" },
        );
        ledger.close().await.unwrap();
        assert_eq!(rows(url).await.unwrap(), 2, "nothing was lost so far");
        assert!(did(&["down", "--url", url, "--delete-rows"]).contains("no tables"));
        assert_eq!(ledger_command(&["check", "--url", url]).code, Some(3));
    }
}

#[tokio::test]
async fn a_ledger_is_moved_from_sqlite_to_postgresql_once_nobody_uses_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Postgres::start());
    let (from, to) = (sqlite(folder.path(), "ledger.db"), server.database("ledger"));
    let migrate = |from: &str, to: &str| ["migrate", "--from", from, "--to", to].map(str::to_owned);
    let with = |arguments: &[String; 5], why: &str| refused(&arguments.each_ref().map(String::as_str), why);
    with(&migrate(&from, &to), "there is no ledger in the file");
    did(&["up", "--url", &from]);
    let ledger = open(&from).await;
    write(&ledger, 3).await;
    with(&migrate(&from, &to), "belongs to another process");
    ledger.close().await.unwrap();
    with(&migrate(&from, &from), "the same ledger");
    with(&migrate(&from, "mysql://a:secret@b/c"), "is not understood");
    let moved = did(&["migrate", "--from", &from, "--to", &to]);
    assert!(moved.contains("execution_runs: 3 rows") && moved.contains("counts and sums are the same"), "{moved}");
    assert_eq!(rows(&to).await.unwrap(), 3);
    with(&migrate(&from, &to), "is not empty");
    open(&to).await.close().await.unwrap();
}

#[test]
fn what_is_not_understood_ends_with_2() {
    assert_eq!(ledger_command(&["migrate", "--from", "sqlite:///a.db"]).code, Some(2));
    assert_eq!(ledger_command(&["up"]).code, Some(2), "without a URL nothing is guessed");
}
