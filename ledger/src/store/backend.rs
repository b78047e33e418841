//! The kinds of databases, and what differs between them in SQL.

use sqlx::AnyConnection;

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A file with one writing process, which may keep in memory what it wrote.
    Sqlite,
    /// A server with any number of writing processes, which have to read before they write.
    Postgres,
}

impl Backend {
    /// Returns the kind of a connection's database.
    pub(crate) fn of(connection: &AnyConnection) -> Self {
        if connection.backend_name() == "SQLite" { Self::Sqlite } else { Self::Postgres }
    }

    /// Returns the expression for the sum of a column, 0 where there are no rows.
    ///
    /// - **Guarantees:** a value that is no whole number makes the sum one that cannot be read, instead of counting as 0.
    pub(crate) fn sum(self, column: &str) -> String {
        match self {
            // A column may hold a value of any type. The sum is a real number then, which a cast would hide.
            Self::Sqlite => format!("COALESCE(SUM({column}), 0)"),
            // Columns hold numbers only, and the sum of them is of a type that cannot be read without a cast.
            Self::Postgres => format!("CAST(COALESCE(SUM({column}), 0) AS BIGINT)"),
        }
    }

    /// Returns the expression for the sums of several columns together.
    pub(crate) fn sum_of(self, columns: &[&str]) -> String {
        columns.iter().map(|column| self.sum(column)).collect::<Vec<_>>().join(" + ")
    }
}
