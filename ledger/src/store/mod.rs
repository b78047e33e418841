//! Tables, rows and SQL, the same for SQLite and PostgreSQL.

mod database;
mod rows;
pub(crate) mod statement;
pub(crate) mod tables;

pub(crate) use database::{Backend, Database, WritingConnection, is_same};
pub(crate) use rows::{
    account_of_row, account_row, breaker_row, call_row, count_of, money_of, open_reservation_of_row, parse_state,
    reservation_row, window_row,
};
