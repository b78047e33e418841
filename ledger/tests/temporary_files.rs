//! The shipped image has no folder for temporary files. In a process of its own, because the test limits open files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use jiff::Timestamp;
use manyworlds_ledger::history::{ExecutionRun, HistoryRecord, WorldExecution};
use manyworlds_ledger::{Ledger, migrations};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The number of orders. Their rows fill many pages, so that a change touches more than SQLite keeps in memory by itself.
const RUNS: usize = 40;
/// The most Worlds that an order has.
const WORLDS: usize = 40;

fn order_of(run: usize, outcome: &str) -> Vec<HistoryRecord> {
    let id = format!("uid-{run}");
    let execution = ExecutionRun {
        id: id.clone(),
        namespace: "team".into(),
        work_order: format!("order-{run}"),
        started_at: Timestamp::UNIX_EPOCH,
        ..ExecutionRun::default()
    };
    // The keys of one order lie far apart, as those of Worlds do.
    let world = |number: usize| {
        HistoryRecord::World(WorldExecution {
            id: format!("{number}/{run}"),
            run: id.clone(),
            world: format!("order-{run}-{number}"),
            outcome: Some(outcome.to_owned()),
            reason: Some("x".repeat(500)),
            ..WorldExecution::default()
        })
    };
    std::iter::once(HistoryRecord::Run(execution)).chain((0..WORLDS).map(world)).collect()
}

/// Leaves this process no file to open, and returns the limit that it had: a new one takes the lowest free number, which is below the limit only where a file
/// was closed.
fn open_no_more_files() -> u64 {
    let used = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let highest = used.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max().unwrap();
    // The numbers in between that are free are taken.
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        use std::os::fd::AsRawFd;
        let is_behind = u64::try_from(file.as_raw_fd()).unwrap() > highest;
        if is_behind {
            break;
        }
        taken.push(file);
    }
    std::mem::forget(taken);
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, highest + 1, hard).unwrap();
    assert!(std::fs::File::open("/dev/null").is_err(), "a file can still be opened");
    before
}

#[tokio::test]
async fn the_history_of_an_order_with_forty_worlds_is_written_where_no_temporary_file_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/ledger.db", folder.path().display());
    migrations::up(&url).await.unwrap();
    let ledger = Ledger::open(&url, "test", Timestamp::now()).await.unwrap();
    for run in 0..RUNS {
        ledger.record(&order_of(run, "Running")).await.unwrap();
    }
    let before = open_no_more_files();
    for run in 0..RUNS {
        ledger.record(&order_of(run, "Succeeded")).await.unwrap();
    }
    // Reading may need a further connection.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, before, hard).unwrap();
    assert_eq!(ledger.runs().await.unwrap().len(), RUNS);
}
