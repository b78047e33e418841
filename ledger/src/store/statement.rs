//! Statements over several rows at once, so that a batch costs few of them.

use std::borrow::{Borrow, Cow};
use std::collections::HashSet;

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

use super::backend::Backend;
use super::table::{Table, read};
use super::value::{Row, Value};
use crate::error::LedgerError;

/// The numbers of rows that a statement can have. Few sizes make few statements, which the connection keeps prepared;
/// PostgreSQL and SQLite take 32,766 values and more.
const SIZES: [usize; 4] = [256, 32, 4, 1];

/// The treatment of a row whose key is in the table already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// The new row replaces it.
    Replace,
    /// It stays.
    Keep,
}

/// A row that is inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Insertion {
    pub(crate) table: &'static Table,
    pub(crate) on_conflict: OnConflict,
    pub(crate) row: Row,
}

/// Inserts rows into a table.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    table: &Table,
    on_conflict: OnConflict,
    rows: &[impl Borrow<Row>],
) -> Result<(), LedgerError> {
    let placeholder = Placeholder::of(connection);
    for chunk in chunks(rows) {
        let sql = insertion(table, on_conflict, chunk.len(), placeholder);
        let values = chunk.iter().flat_map(Borrow::borrow);
        let query = values.fold(sqlx::query(AssertSqlSafe(sql)), bind);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Inserts rows into their tables, in their order.
///
/// - **Guarantees:** neighbours of one table share a statement, unless they have the same key, which a statement must not
///   write twice. Rows that are sorted by their tables need few statements.
pub(crate) async fn insert_all(connection: &mut AnyConnection, insertions: &[Insertion]) -> Result<(), LedgerError> {
    let mut rest = insertions;
    while let Some(first) = rest.first() {
        let (same, others) = rest.split_at(shared(rest));
        let rows: Vec<&Row> = same.iter().map(|insertion| &insertion.row).collect();
        insert(connection, first.table, first.on_conflict, &rows).await?;
        rest = others;
    }
    Ok(())
}

/// Returns how many of the first rows share a statement.
fn shared(insertions: &[Insertion]) -> usize {
    let Some(first) = insertions.first() else { return 0 };
    let mut keys = HashSet::new();
    let others = insertions.iter().take_while(|other| {
        other.table == first.table && other.on_conflict == first.on_conflict && keys.insert(other.row.first())
    });
    others.count()
}

/// Removes rows by the first column of their key.
pub(crate) async fn remove(connection: &mut AnyConnection, table: &Table, keys: &[String]) -> Result<(), LedgerError> {
    for chunk in chunks(keys) {
        let sql = removal(table, chunk.len(), Placeholder::Numbered);
        let query = chunk.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, key| query.bind(key.clone()));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads the rows whose first column of the key is one of these.
pub(crate) async fn select(
    connection: &mut AnyConnection,
    table: &'static Table,
    keys: &[String],
) -> Result<Vec<Row>, LedgerError> {
    let mut rows = Vec::new();
    for chunk in chunks(keys) {
        let sql = format!("{} WHERE {} IN ({})", selection(table), table.key[0], placeholders(chunk.len()));
        let query = chunk.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, key| query.bind(key.clone()));
        for row in query.fetch_all(&mut *connection).await? {
            rows.push(read(table, &row)?);
        }
    }
    Ok(rows)
}

/// Reads the rows behind a key, in the order of keys; from the first one where there is no key.
///
/// - **Shape:** `after` begins with the values of a key, such as the last row that was read.
pub(crate) async fn select_after(
    connection: &mut AnyConnection,
    table: &'static Table,
    after: Option<&Row>,
    limit: i64,
) -> Result<Vec<Row>, LedgerError> {
    let key = after.map(|row| &row[..table.key.len()]).unwrap_or_default();
    let query = sqlx::query(AssertSqlSafe(page(table, key.len())));
    let query = key.iter().fold(query, bind).bind(limit);
    query.fetch_all(connection).await?.iter().map(|row| read(table, row)).collect()
}

/// Returns the statement of [`select_after`], with so many values of a key before the limit.
fn page(table: &Table, values: usize) -> String {
    let key = table.key.join(", ");
    let behind = if values == 0 { String::new() } else { format!(" WHERE ({key}) > ({})", placeholders(values)) };
    format!("{}{behind} ORDER BY {key} LIMIT ${}", selection(table), values + 1)
}

/// Returns the statement that selects all rows.
pub(crate) fn selection(table: &Table) -> String {
    format!("SELECT {} FROM {}", names(table).join(", "), table.name)
}

fn names(table: &Table) -> Vec<&'static str> {
    table.columns.iter().map(|column| column.name).collect()
}

/// Divides rows into chunks of few sizes.
pub(crate) fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (chunk, behind) = rest.split_at(size);
        rest = behind;
        Some(chunk)
    })
}

/// The form of the placeholders for values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// `$1`, `$2` and so on, as PostgreSQL has them.
    Numbered,
    /// `?`, for SQLite, which looks a numbered one up among all others when it is bound.
    Positional,
}

impl Placeholder {
    fn of(connection: &AnyConnection) -> Self {
        match Backend::of(connection) {
            Backend::Sqlite => Self::Positional,
            Backend::Postgres => Self::Numbered,
        }
    }

    fn text(self, number: usize) -> Cow<'static, str> {
        match self {
            Self::Numbered => format!("${number}").into(),
            Self::Positional => "?".into(),
        }
    }
}

/// Returns the statement that inserts so many rows.
pub(crate) fn insertion(table: &Table, on_conflict: OnConflict, rows: usize, placeholder: Placeholder) -> String {
    let names = names(table);
    let values = placeholders_of_rows(names.len(), rows, placeholder);
    format!("INSERT INTO {} ({}) VALUES {values}{}", table.name, names.join(", "), conflict_clause(table, on_conflict))
}

/// Returns the statement that removes rows by so many first columns of their key.
pub(crate) fn removal(table: &Table, keys: usize, placeholder: Placeholder) -> String {
    let keys = placeholders_of_rows(keys, 1, placeholder);
    format!("DELETE FROM {} WHERE {} IN {keys}", table.name, table.key[0])
}

/// Returns the placeholders for so many rows of one width.
fn placeholders_of_rows(width: usize, rows: usize, placeholder: Placeholder) -> String {
    let of_row = |row: usize| {
        let values: Vec<_> = (1..=width).map(|number| placeholder.text(row * width + number)).collect();
        format!("({})", values.join(", "))
    };
    (0..rows).map(of_row).collect::<Vec<_>>().join(", ")
}

fn conflict_clause(table: &Table, on_conflict: OnConflict) -> String {
    let action = match on_conflict {
        OnConflict::Replace => {
            let changed = names(table).into_iter().filter(|name| !table.key.contains(name));
            let changed: Vec<_> = changed.map(|name| format!("{name} = excluded.{name}")).collect();
            format!("DO UPDATE SET {}", changed.join(", "))
        }
        OnConflict::Keep => "DO NOTHING".to_owned(),
    };
    format!(" ON CONFLICT ({}) {action}", table.key.join(", "))
}

/// Returns the numbered placeholders of so many values, from the first on.
pub(crate) fn placeholders(count: usize) -> String {
    (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// Binds the next value.
pub(crate) fn bind<'q>(query: Query<'q, Any, AnyArguments>, value: &Value) -> Query<'q, Any, AnyArguments> {
    match value {
        Value::Number(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::{BREAKER, BUDGETS, RATE_WINDOWS};

    #[test]
    fn any_number_of_rows_is_divided_into_few_sizes() {
        for count in [0, 1, 3, 5, 31, 37, 300] {
            let rows = vec![(); count];
            let sizes: Vec<_> = chunks(&rows).map(<[()]>::len).collect();
            assert_eq!(sizes.iter().sum::<usize>(), count);
            assert!(sizes.iter().all(|size| SIZES.contains(size)));
        }
    }

    #[test]
    fn neighbours_of_one_table_share_a_statement_unless_they_have_the_same_key() {
        let row = |table, key: &str| Insertion {
            table,
            on_conflict: OnConflict::Replace,
            row: vec![Value::from(key.to_owned()), Value::from(1)],
        };
        let rows = [row(&RATE_WINDOWS, "a"), row(&RATE_WINDOWS, "b"), row(&RATE_WINDOWS, "a"), row(&BREAKER, "c")];
        assert_eq!([0, 2, 3, 4].map(|from| shared(&rows[from..])), [2, 1, 1, 0]);
    }

    #[test]
    fn a_page_begins_behind_the_last_key() {
        let columns = "holder, period_start, epoch, spent_cost, spent_tokens, reserved_cost, reserved_tokens";
        assert_eq!(page(&BUDGETS, 0), format!("SELECT {columns} FROM budgets ORDER BY holder, period_start LIMIT $1"));
        assert_eq!(
            page(&BUDGETS, 2),
            format!(
                "SELECT {columns} FROM budgets WHERE (holder, period_start) > ($1, $2) \
                 ORDER BY holder, period_start LIMIT $3"
            )
        );
    }

    #[test]
    fn an_insertion_names_each_value_once() {
        assert_eq!(
            insertion(&BREAKER, OnConflict::Replace, 2, Placeholder::Numbered),
            "INSERT INTO breaker (provider, model, epoch, state) VALUES ($1, $2, $3, $4), ($5, $6, $7, $8) \
             ON CONFLICT (provider, model) DO UPDATE SET epoch = excluded.epoch, state = excluded.state"
        );
        assert_eq!(
            insertion(&BREAKER, OnConflict::Keep, 2, Placeholder::Positional),
            "INSERT INTO breaker (provider, model, epoch, state) VALUES (?, ?, ?, ?), (?, ?, ?, ?) \
             ON CONFLICT (provider, model) DO NOTHING"
        );
    }
}
