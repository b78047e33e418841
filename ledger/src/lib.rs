//! The ledger: money, limits, history and audit, in SQLite or PostgreSQL.
//!
//! - [`Ledger`]: opens a store; reserves, settles and releases calls; writes history and audit.
//! - `reading`: the queries. They do not wait for the writer.
//! - `call`: reservations, settlements and their results.
//! - `state`: the rules over the state in memory: pure.
//! - `writer`: the one task that writes. It takes all commands that came meanwhile into one transaction.
//! - `totals`: the sums of all calls, for metrics.
//! - [`history`], [`audit`]: records of runs, and decisions as rows and as lines of the log.
//! - `store`: tables, rows and SQL.
//!
//! **Architecture invariant:** an answer is sent after its transaction has been committed. A process that dies at any point
//! leaves reservations, which the next one settles at their upper bound.

pub mod audit;
mod call;
mod command;
mod ending;
mod error;
pub mod history;
mod ledger;
pub mod migrations;
mod reading;
mod state;
mod store;
mod tables;
mod totals;
mod transfer;
mod writer;

pub use call::{
    BudgetAccount, CallId, CallOutcome, CallUsage, Caller, Reservation, ReserveResult, SettleResult, Settlement,
};
pub use error::LedgerError;
pub use ledger::Ledger;
pub use reading::{CallCount, LastCall, OrderReference, Spending, StoredRun};
pub use totals::{CallTotal, CallTotals, RunningTotals};
pub use transfer::{TransferredTable, rows, transfer};
