//! The declaration of a table.
//!
//! The macro `table!` declares the columns, their types and the key once. From it come the type of a row, its reading and
//! writing, the statements (`statement`), those of the writer on SQLite (`writer/prepared_statements.rs`), and the copy
//! of a transfer. Only the migrations name the columns again, in SQL; a test compares both.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::value::{Field, Kind, Row, Value};
use crate::error::LedgerError;

/// A table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// The columns of its key.
    pub(crate) key: &'static [&'static str],
    /// Its columns, in the order of its rows' values: the key, the epoch of the writer, then the rest.
    pub(crate) columns: &'static [Column],
    /// The columns whose sum a transfer verifies.
    pub(crate) sums: &'static [&'static str],
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: Kind,
}

/// A row of a table as a type of Rust.
pub(crate) trait TableRow: Sized {
    /// The table.
    const TABLE: &'static Table;

    /// Returns the values of the row, which the process of this epoch writes.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Range`] when a number does not fit.
    fn into_values(self, epoch: i64) -> Result<Row, LedgerError>;

    /// Reads the values of a row, and the epoch of its writer.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Row`] when a value is not of its type.
    fn of_values(values: Row) -> Result<(Self, i64), LedgerError>;

    /// Reads a row that was selected with all of its columns, in their order.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Row`] when a value is not of its type.
    fn of_row(row: &AnyRow) -> Result<(Self, i64), LedgerError> {
        Self::of_values(read(Self::TABLE, row)?)
    }
}

/// Declares a table together with the type of its rows. `field as column` is a field whose column has another name.
macro_rules! table {
    (
        $table:ident = $name:literal, sums [$($sum:literal),*];
        $(#[$attribute:meta])*
        $visibility:vis struct $row:ident {
            key { $($(#[$key_attribute:meta])* $key:ident : $key_type:ty),+ $(,)? }
            columns { $($(#[$field_attribute:meta])* $field:ident $(as $column:ident)? : $type:ty),+ $(,)? }
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $row {
            $($(#[$key_attribute])* $visibility $key: $key_type,)+
            $($(#[$field_attribute])* $visibility $field: $type,)+
        }

        pub(crate) const $table: Table = Table {
            name: $name,
            key: &[$(stringify!($key)),+],
            columns: &[
                $(Column { name: stringify!($key), kind: <$key_type as Field>::KIND },)+
                Column { name: "epoch", kind: <i64 as Field>::KIND },
                $(Column { name: column_name!($field $($column)?), kind: <$type as Field>::KIND },)+
            ],
            sums: &[$($sum),*],
        };

        impl TableRow for $row {
            const TABLE: &'static Table = &$table;

            fn into_values(self, epoch: i64) -> Result<Row, LedgerError> {
                Ok(vec![
                    $(Field::into_value(self.$key)?,)+
                    Field::into_value(epoch)?,
                    $(Field::into_value(self.$field)?,)+
                ])
            }

            fn of_values(values: Row) -> Result<(Self, i64), LedgerError> {
                let mut values = Values::new(&$table, values);
                $(let $key = values.take()?;)+
                let epoch = values.take()?;
                $(let $field = values.take()?;)+
                Ok((Self { $($key,)+ $($field),+ }, epoch))
            }
        }
    };
}
pub(crate) use table;

/// Returns the name of a field's column.
macro_rules! column_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $column:ident) => {
        stringify!($column)
    };
}
pub(crate) use column_name;

/// Takes the values of a row one after the other.
pub(crate) struct Values {
    table: &'static Table,
    position: usize,
    rest: std::vec::IntoIter<Value>,
}

impl Values {
    pub(crate) fn new(table: &'static Table, values: Row) -> Self {
        Self { table, position: 0, rest: values.into_iter() }
    }

    /// Reads the next value.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Row`] when it is not of its type.
    pub(crate) fn take<T: Field>(&mut self) -> Result<T, LedgerError> {
        let column = self.table.columns.get(self.position).map_or("(none)", |column| column.name);
        self.position += 1;
        let value = self.rest.next().unwrap_or(Value::none(T::KIND));
        T::of_value(value).map_err(|reason| LedgerError::Row { table: self.table.name, column, reason })
    }
}

/// Reads all columns of a row.
///
/// # Errors
///
/// [`LedgerError::Row`] when a value is not of its column's type.
pub(crate) fn read(table: &'static Table, row: &AnyRow) -> Result<Row, LedgerError> {
    let values = table.columns.iter().enumerate().map(|(position, column)| {
        value(row, position, column.kind).map_err(|reason| LedgerError::Row {
            table: table.name,
            column: column.name,
            reason,
        })
    });
    values.collect()
}

/// Reads one value of a selected row.
///
/// - **Shape:** `column` names the value in errors.
///
/// # Errors
///
/// [`LedgerError::Row`] when it is not of its type.
pub(crate) fn column<T: Field>(
    row: &AnyRow,
    position: usize,
    table: &'static Table,
    column: &'static str,
) -> Result<T, LedgerError> {
    let read = value(row, position, T::KIND).and_then(T::of_value);
    read.map_err(|reason| LedgerError::Row { table: table.name, column, reason })
}

fn value(row: &AnyRow, position: usize, kind: Kind) -> Result<Value, String> {
    let value = match kind {
        Kind::Number => row.try_get(position).map(Value::Number),
        Kind::Text => row.try_get(position).map(Value::Text),
    };
    value.map_err(|error| error.to_string())
}
