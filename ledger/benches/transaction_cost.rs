//! The cost of a transaction of calls on SQLite, in three ways: one statement through a view with triggers; a statement for each
//! table through sqlx; and prepared statements of rusqlite on a thread of its own, as the ledger does it.
//!
//! Run it with `cargo bench -p manyworlds-ledger`. docs/decisions/0009-prepared-statements-for-calls.md has the result.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program of measurements, run by hand")]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tokio::sync::oneshot;

/// The time for which each way is measured.
const TIME: Duration = Duration::from_secs(4);
/// The numbers of calls in a transaction that are measured.
const CALLS: [usize; 4] = [1, 4, 16, 64];
/// The rounds of all ways. They alternate, so that a machine that slows down slows all of them.
const ROUNDS: usize = 3;

const SETTINGS: [&str; 5] = [
    "PRAGMA busy_timeout = 10000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
];

/// The tables that calls change: name, number of the columns that are the key, and what a row of the same key does.
const TABLES: [(&str, usize, OnConflict); 4] = [
    ("reservations", 1, OnConflict::Ignore),
    ("llm_calls", 1, OnConflict::Ignore),
    ("budgets", 2, OnConflict::Replace),
    ("rate_windows", 1, OnConflict::Replace),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnConflict {
    Ignore,
    Replace,
}

/// A table as the migrations have made it.
#[derive(Clone)]
struct Table {
    name: &'static str,
    key: usize,
    on_conflict: OnConflict,
    columns: Vec<Column>,
}

#[derive(Clone)]
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
}

#[derive(Clone)]
enum Value {
    Number(i64),
    Text(String),
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Number(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

/// Reads what columns the tables have.
fn tables(path: &str) -> Vec<Table> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let columns = |table: &str| {
        let mut statement = connection.prepare(&format!("PRAGMA table_info({table})")).unwrap();
        let column = |row: &rusqlite::Row<'_>| {
            let kind = if row.get::<_, String>("type")? == "TEXT" { Kind::Text } else { Kind::Number };
            Ok(Column { name: row.get("name")?, kind })
        };
        let found = statement.query_map([], column).unwrap();
        found.collect::<rusqlite::Result<Vec<_>>>().unwrap()
    };
    let tables = TABLES.iter().map(|(name, key, on_conflict)| {
        let columns = columns(name);
        assert!(columns.len() > *key, "{name} has too few columns");
        Table { name, key: *key, on_conflict: *on_conflict, columns }
    });
    tables.collect()
}

/// The rows of a transaction in which the calls of the one before are settled and as many others are reserved.
struct Rows {
    removed: Vec<String>,
    inserted: Vec<Vec<Vec<Value>>>,
}

fn id(number: usize) -> String {
    format!("0199c0de-0000-7000-8000-{number:012}")
}

/// Returns a row of the size that rows of the ledger have: a column that holds JSON has some hundred bytes.
fn row(table: &Table, key: &str) -> Vec<Value> {
    let value = |(place, column): (usize, &Column)| match (column.kind, column.name.as_str()) {
        (Kind::Text, _) if place == 0 => Value::Text(key.to_owned()),
        (Kind::Text, "state") => Value::Text("y".repeat(600)),
        (Kind::Text, "details") => Value::Text("x".repeat(200)),
        (Kind::Text, _) => Value::Text("8b0f6ce2-90aa-11cd".to_owned()),
        (Kind::Number, _) => Value::Number(1_000_000),
    };
    table.columns.iter().enumerate().map(value).collect()
}

fn rows(tables: &[Table], first: usize, calls: usize) -> Rows {
    let before = first.saturating_sub(calls)..first;
    let keys = |table: &str| -> Vec<String> {
        match table {
            "reservations" => (first..first + calls).map(id).collect(),
            "llm_calls" => before.clone().map(id).collect(),
            "budgets" => vec!["order/8b0f6ce2".to_owned(), "budget/5e1f7c9b".to_owned()],
            _ => vec!["team/provider".to_owned()],
        }
    };
    let inserted = tables.iter().map(|table| keys(table.name).iter().map(|key| row(table, key)).collect()).collect();
    Rows { removed: before.map(id).collect(), inserted }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn conflict_clause(table: &Table) -> String {
    let (key, others) = table.columns.split_at(table.key);
    let changed: Vec<_> = others.iter().map(|Column { name, .. }| format!("{name} = excluded.{name}")).collect();
    let action = match table.on_conflict {
        OnConflict::Ignore => "DO NOTHING".to_owned(),
        OnConflict::Replace => format!("DO UPDATE SET {}", changed.join(", ")),
    };
    format!("ON CONFLICT ({}) {action}", names(key))
}

fn insertion(table: &Table, rows: usize) -> String {
    let row = format!("({})", vec!["?"; table.columns.len()].join(", "));
    let (columns, values) = (names(&table.columns), vec![row; rows].join(", "));
    format!("INSERT INTO {} ({columns}) VALUES {values} {}", table.name, conflict_clause(table))
}

/// A way to write a transaction.
enum Way {
    OneStatement(AnyConnection),
    Statements(AnyConnection),
    Thread(mpsc::Sender<(Rows, oneshot::Sender<()>)>),
}

impl Way {
    async fn commit(&mut self, tables: &[Table], rows: Rows) {
        match self {
            Self::OneStatement(connection) => one_statement(connection, tables, &rows).await,
            Self::Statements(connection) => statements(connection, tables, &rows).await,
            Self::Thread(sender) => {
                let (reply, done) = oneshot::channel();
                sender.send((rows, reply)).unwrap();
                done.await.unwrap();
            }
        }
    }
}

async fn connect(path: &str) -> AnyConnection {
    let mut connection = AnyConnection::connect(&format!("sqlite://{path}")).await.unwrap();
    for setting in SETTINGS {
        sqlx::query(setting).execute(&mut connection).await.unwrap();
    }
    connection
}

async fn with_view(path: &str, tables: &[Table]) -> AnyConnection {
    let mut connection = connect(path).await;
    let of_table =
        |table: &Table| table.columns.iter().map(|c| format!("NULL AS {}_{}", table.name, c.name)).collect::<Vec<_>>();
    let columns = ["NULL AS removed".to_owned()].into_iter().chain(tables.iter().flat_map(of_table));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let trigger = |name: &str, needed: &str, action: &str| {
        format!(
            "CREATE TEMP TRIGGER write_{name} INSTEAD OF INSERT ON changed_rows WHEN NEW.{needed} IS NOT NULL \
             BEGIN {action}; END"
        )
    };
    let mut made = vec![format!("CREATE TEMP VIEW changed_rows AS SELECT {columns}")];
    made.push(trigger("removed", "removed", "DELETE FROM reservations WHERE id = NEW.removed"));
    for table in tables {
        let values: Vec<_> = table.columns.iter().map(|c| format!("NEW.{}_{}", table.name, c.name)).collect();
        let (columns, values) = (names(&table.columns), values.join(", "));
        let action = format!("INSERT INTO {} ({columns}) VALUES ({values}) {}", table.name, conflict_clause(table));
        made.push(trigger(table.name, &format!("{}_{}", table.name, table.columns[0].name), &action));
    }
    for sql in made {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    connection
}

async fn one_statement(connection: &mut AnyConnection, tables: &[Table], rows: &Rows) {
    let count = rows.inserted.iter().map(Vec::len).fold(rows.removed.len(), usize::max).next_power_of_two();
    let width = 1 + tables.iter().map(|table| table.columns.len()).sum::<usize>();
    let row = format!("({})", vec!["?"; width].join(", "));
    let sql = format!("INSERT INTO changed_rows VALUES {}", vec![row; count].join(", "));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for number in 0..count {
        query = query.bind(rows.removed.get(number).cloned());
        for (table, rows) in tables.iter().zip(&rows.inserted) {
            query = match rows.get(number) {
                Some(row) => row.iter().fold(query, |query, value| match value {
                    Value::Number(number) => query.bind(*number),
                    Value::Text(text) => query.bind(text.clone()),
                }),
                None => (0..table.columns.len()).fold(query, |query, _| query.bind(None::<String>)),
            };
        }
    }
    query.execute(connection).await.unwrap();
}

async fn statements(connection: &mut AnyConnection, tables: &[Table], rows: &Rows) {
    let mut transaction = connection.begin().await.unwrap();
    if !rows.removed.is_empty() {
        let keys = vec!["?"; rows.removed.len()].join(", ");
        let sql = format!("DELETE FROM reservations WHERE id IN ({keys})");
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = rows.removed.iter().fold(query, |query, id| query.bind(id.clone()));
        query.execute(&mut *transaction).await.unwrap();
    }
    for (table, rows) in tables.iter().zip(&rows.inserted).filter(|(_, rows)| !rows.is_empty()) {
        let query = sqlx::query(AssertSqlSafe(insertion(table, rows.len())));
        let query = rows.iter().flatten().fold(query, |query, value| match value {
            Value::Number(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.clone()),
        });
        query.execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

fn on_a_thread(path: &str, tables: &[Table]) -> mpsc::Sender<(Rows, oneshot::Sender<()>)> {
    let (sender, receiver) = mpsc::channel::<(Rows, oneshot::Sender<()>)>();
    let (path, tables) = (path.to_owned(), tables.to_vec());
    thread::spawn(move || {
        let connection = rusqlite::Connection::open(path).unwrap();
        for setting in SETTINGS {
            connection.execute_batch(setting).unwrap();
        }
        let mut begin = connection.prepare("BEGIN").unwrap();
        let mut commit = connection.prepare("COMMIT").unwrap();
        let mut removal = connection.prepare("DELETE FROM reservations WHERE id = ?").unwrap();
        let insertions = tables.iter().map(|table| connection.prepare(&insertion(table, 1)).unwrap());
        let mut insertions: Vec<_> = insertions.collect();
        for (rows, reply) in receiver {
            begin.execute([]).unwrap();
            for id in &rows.removed {
                removal.execute([id]).unwrap();
            }
            for (statement, rows) in insertions.iter_mut().zip(&rows.inserted) {
                for row in rows {
                    statement.execute(rusqlite::params_from_iter(row)).unwrap();
                }
            }
            commit.execute([]).unwrap();
            reply.send(()).unwrap();
        }
    });
    sender
}

/// Returns the processor time of this process, in microseconds.
fn processor_time() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let microseconds = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    microseconds(usage.user_time()) + microseconds(usage.system_time())
}

async fn measure(name: &str, mut way: Way, tables: &[Table], calls: usize) {
    let (mut first, mut times) = (0, Vec::new());
    let (begun, processor) = (Instant::now(), processor_time());
    while begun.elapsed() < TIME {
        let rows = rows(tables, first, calls);
        first += calls;
        let start = Instant::now();
        way.commit(tables, rows).await;
        times.push(start.elapsed().as_micros());
    }
    let used = processor_time() - processor;
    times.sort_unstable();
    let median = times[times.len() / 2];
    let per_call = used / i64::try_from(first).unwrap();
    println!("| {name} | {calls} | {median} | {per_call} |");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("| way | calls in a transaction | median of a transaction, µs | processor time of a call, µs |");
    println!("|---|---|---|---|");
    for calls in std::iter::repeat_n(CALLS, ROUNDS).flatten() {
        for name in ["one statement, sqlx", "a statement for each table, sqlx", "prepared statements, rusqlite"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ledger.db").display().to_string();
            manyworlds_ledger::migrations::up(&format!("sqlite://{path}")).await.unwrap();
            let tables = tables(&path);
            let way = match name {
                "one statement, sqlx" => Way::OneStatement(with_view(&path, &tables).await),
                "a statement for each table, sqlx" => Way::Statements(connect(&path).await),
                _ => Way::Thread(on_a_thread(&path, &tables)),
            };
            measure(name, way, &tables, calls).await;
        }
    }
}
