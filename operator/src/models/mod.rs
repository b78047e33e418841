//! Models and money: the gateway's questions, what an order's decision needs to know of the ledger, and the history in it.

mod access;
mod history_progress;
mod history_rows;
mod history_writer;
mod ledger_view;
mod maintenance;

pub(crate) use access::WorldAccess;
pub(crate) use history_writer::HistoryWriter;
pub(crate) use ledger_view::Models;
pub(crate) use maintenance::maintain;
