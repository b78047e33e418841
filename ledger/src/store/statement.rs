//! Statements over several rows at once, so that a batch costs few of them.

use std::borrow::{Borrow, Cow};
use std::collections::HashSet;

use serde::Serialize;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

use super::tables::{Column, Table};
use crate::error::LedgerError;

/// How many rows a statement may have. Few sizes make few statements, which the connection keeps prepared; PostgreSQL and
/// SQLite take 32,766 values and more.
const SIZES: [usize; 4] = [256, 32, 4, 1];

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    /// A number or nothing.
    Number(Option<i64>),
    /// A text or nothing.
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

/// A row of a table: its values in the order of the columns.
pub(crate) type Row = Vec<Value>;

/// What becomes of a row whose key is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// The new row replaces it.
    Replace,
    /// It stays.
    Keep,
}

/// Puts rows into a table.
pub(crate) async fn put(
    connection: &mut AnyConnection,
    table: &Table,
    existing: OnConflict,
    rows: &[impl Borrow<Row>],
) -> Result<(), LedgerError> {
    let place = Placeholder::of(connection);
    for chunk in chunks(rows) {
        let sql = insertion(table, existing, chunk.len(), place);
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in chunk.iter().flat_map(Borrow::borrow) {
            query = bind(query, value);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Puts rows into their tables, in their order. Neighbours of one table go together, unless they have the same name: a
/// statement may not write a row twice. So who sorts them by their tables has few statements.
pub(crate) async fn put_all(
    connection: &mut AnyConnection,
    rows: &[(&'static Table, OnConflict, Row)],
) -> Result<(), LedgerError> {
    let mut rest = rows;
    while let Some((table, existing, _)) = rest.first() {
        let together = together(rest);
        let of_table: Vec<&Row> = rest[..together].iter().map(|(_, _, row)| row).collect();
        put(connection, table, *existing, &of_table).await?;
        rest = &rest[together..];
    }
    Ok(())
}

fn together(rows: &[(&'static Table, OnConflict, Row)]) -> usize {
    let Some((table, existing, _)) = rows.first() else { return 0 };
    let mut names = HashSet::new();
    rows.iter().take_while(|(other, then, row)| other == table && then == existing && names.insert(row.first())).count()
}

/// Removes rows by the one column that names them.
pub(crate) async fn remove(connection: &mut AnyConnection, table: &Table, keys: &[String]) -> Result<(), LedgerError> {
    for chunk in chunks(keys) {
        let sql = format!("DELETE FROM {} WHERE {} IN ({})", table.name, table.key[0], places(chunk.len()));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for key in chunk {
            query = query.bind(key.clone());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns the text that selects rows whose first key is among `count`.
pub(crate) fn selection(table: &Table, count: usize) -> String {
    let columns: Vec<_> = table.columns.iter().map(|column| column.name()).collect();
    format!("SELECT {} FROM {} WHERE {} IN ({})", columns.join(", "), table.name, table.key[0], places(count))
}

/// Returns the text that selects every row.
pub(crate) fn all(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|column| column.name()).collect();
    format!("SELECT {} FROM {}", columns.join(", "), table.name)
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

/// How the places for values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// With their numbers, as PostgreSQL has them.
    Numbered,
    /// Without, for SQLite: it looks a numbered one up among all others when it is bound.
    Positional,
}

impl Placeholder {
    fn of(connection: &AnyConnection) -> Self {
        if connection.backend_name() == "SQLite" { Self::Positional } else { Self::Numbered }
    }

    fn written(self, number: usize) -> Cow<'static, str> {
        match self {
            Self::Numbered => format!("${number}").into(),
            Self::Positional => "?".into(),
        }
    }
}

fn insertion(table: &Table, existing: OnConflict, rows: usize, place: Placeholder) -> String {
    let names: Vec<_> = table.columns.iter().map(|column| column.name()).collect();
    let (columns, places) = (names.join(", "), places_of_rows(names.len(), rows, place));
    format!("INSERT INTO {} ({columns}) VALUES {places}{}", table.name, on_conflict(table, existing))
}

/// Returns the places for the values of so many rows of one width.
pub(crate) fn places_of_rows(width: usize, rows: usize, place: Placeholder) -> String {
    let of_row = |row: usize| {
        let of_row: Vec<_> = (1..=width).map(|number| place.written(row * width + number)).collect();
        format!("({})", of_row.join(", "))
    };
    (0..rows).map(of_row).collect::<Vec<_>>().join(", ")
}

/// Returns the text that puts the row of a trigger into a table, for SQLite: its columns have the table's name before them.
pub(crate) fn insertion_of_new(table: &Table, existing: OnConflict) -> String {
    let names: Vec<_> = table.columns.iter().map(|column| column.name()).collect();
    let values: Vec<_> = names.iter().map(|name| format!("NEW.{}_{name}", table.name)).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({}){}",
        table.name,
        names.join(", "),
        values.join(", "),
        on_conflict(table, existing)
    )
}

fn on_conflict(table: &Table, existing: OnConflict) -> String {
    let names = table.columns.iter().map(|column| column.name()).filter(|name| !table.key.contains(name));
    let then = match existing {
        OnConflict::Replace => {
            let changed: Vec<_> = names.map(|name| format!("{name} = excluded.{name}")).collect();
            format!("DO UPDATE SET {}", changed.join(", "))
        }
        OnConflict::Keep => "DO NOTHING".to_owned(),
    };
    format!(" ON CONFLICT ({}) {then}", table.key.join(", "))
}

/// Returns the numbered places of so many values, from the first on.
pub(crate) fn places(count: usize) -> String {
    (1..=count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// Binds the next value.
pub(crate) fn bind<'q>(query: Query<'q, Any, AnyArguments>, value: &Value) -> Query<'q, Any, AnyArguments> {
    match value {
        Value::Number(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.clone()),
    }
}

/// Reads all columns of a row.
pub(crate) fn read(table: &'static Table, row: &sqlx::any::AnyRow) -> Result<Row, LedgerError> {
    use sqlx::Row as _;
    let read = |place: usize, column: &Column| match column {
        Column::Number(_) => row.try_get::<Option<i64>, _>(place).map(Value::Number),
        Column::Text(_) => row.try_get::<Option<String>, _>(place).map(Value::Text),
    };
    let values = table.columns.iter().enumerate().map(|(place, column)| read(place, column));
    values.collect::<Result<_, _>>().map_err(|error| LedgerError::Row { table: table.name, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tables::BREAKER;

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
    fn neighbours_of_one_table_go_together_unless_they_have_the_same_name() {
        use crate::store::tables::{AUDIT, WORKTREES};
        let row = |table, name: &str| (table, OnConflict::Replace, vec![Value::from(name), Value::from(1)]);
        let rows = [row(&AUDIT, "a"), row(&AUDIT, "b"), row(&AUDIT, "a"), row(&WORKTREES, "c")];
        assert_eq!([0, 2, 3, 4].map(|from| together(&rows[from..])), [2, 1, 1, 0]);
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
