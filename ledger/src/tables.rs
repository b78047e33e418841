//! All tables.

use crate::audit::entry::AUDIT;
use crate::history::{CHECKPOINTS, EXECUTION_RUNS, TASK_EXECUTIONS, WORKTREES, WORLD_EXECUTIONS};
use crate::store::rows::{BREAKER, BUDGETS, CALL_TOTALS, EPOCHS, LLM_CALLS, RATE_WINDOWS, RESERVATIONS};
use crate::store::table::Table;

/// All tables in an order in which rows can be inserted: no table refers to a later one.
pub(crate) const ALL: [&Table; 13] = [
    &EPOCHS,
    &EXECUTION_RUNS,
    &TASK_EXECUTIONS,
    &WORLD_EXECUTIONS,
    &CHECKPOINTS,
    &WORKTREES,
    &LLM_CALLS,
    &CALL_TOTALS,
    &RESERVATIONS,
    &BUDGETS,
    &RATE_WINDOWS,
    &BREAKER,
    &AUDIT,
];

/// Returns the position of a table in [`ALL`].
pub(crate) fn position(table: &Table) -> usize {
    ALL.iter().take_while(|other| other.name != table.name).count()
}

#[cfg(test)]
mod tests {
    use sqlx::{AnyConnection, Connection, Row};

    use super::*;
    use crate::migrations;
    use crate::store::value::Kind;

    #[tokio::test]
    async fn the_migrations_make_the_tables_that_are_declared() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ledger.db", folder.path().display());
        migrations::up(&url).await.unwrap();
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        for table in ALL {
            let sql = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY name";
            let made = sqlx::query(sql).bind(table.name).fetch_all(&mut connection).await.unwrap();
            let made: Vec<(String, String, i64)> =
                made.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
            let declared = table.columns.iter().map(|column| {
                let kind = match column.kind {
                    Kind::Number => "BIGINT",
                    Kind::Text => "TEXT",
                };
                let key = table.key.iter().position(|name| *name == column.name);
                (
                    column.name.to_owned(),
                    kind.to_owned(),
                    key.map_or(0, |position| i64::try_from(position).unwrap() + 1),
                )
            });
            let mut declared: Vec<_> = declared.collect();
            declared.sort();
            assert_eq!(made, declared, "{}", table.name);
        }
    }
}
