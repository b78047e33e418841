//! Tables, rows and SQL, the same for SQLite and PostgreSQL.
//!
//! - `value`: a value of a column, and the types of Rust that are stored as one.
//! - `table`: the declaration of a table.
//! - `rows`: the tables of calls and of money, and what their rows mean.
//! - `statement`: the statements over several rows at once.
//! - `backend`: the kinds of databases.
//! - `database`: connections.

pub(crate) mod backend;
pub(crate) mod database;
pub(crate) mod rows;
pub(crate) mod statement;
pub(crate) mod table;
pub(crate) mod value;
