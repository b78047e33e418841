//! The commands to the writer.

use jiff::Timestamp;
use manyworlds_metering::rate_window::UpstreamLimit;
use tokio::sync::oneshot;

use crate::call::{CallId, Reservation, ReserveResult, SettleResult, Settlement};
use crate::error::LedgerError;
use crate::store::statement::Insertion;

/// The way of an answer.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// A command to the writer.
pub(crate) enum Command {
    Reserve(Box<Reservation>, Reply<ReserveResult>),
    Settle(CallId, Box<Settlement>, Reply<SettleResult>),
    Release(CallId, Timestamp, Reply<SettleResult>),
    UpstreamLimits {
        provider: String,
        now: Timestamp,
        limits: Vec<UpstreamLimit>,
        not_before: Option<Timestamp>,
        reply: Reply<()>,
    },
    Recover(Timestamp, Reply<u64>),
    Insert(Vec<Insertion>, Reply<()>),
    CloseRuns {
        ids: Vec<String>,
        outcome: String,
        at: Timestamp,
        reply: Reply<()>,
    },
    Expire {
        before: Timestamp,
        now: Timestamp,
        reply: Reply<u64>,
    },
    Close(Reply<()>),
}

/// The answer to a command. It is sent when the transaction has been committed.
pub(crate) enum CommandResult {
    Reserve(ReserveResult),
    Settle(SettleResult),
    Count(u64),
    Done,
}

impl Command {
    /// Returns whether all that it changes is in the ledger's state in memory.
    pub(crate) const fn is_of_calls(&self) -> bool {
        matches!(self, Self::Reserve(..) | Self::Settle(..) | Self::Release(..) | Self::UpstreamLimits { .. })
    }

    /// Sends the answer. The command has been carried out also where the caller is gone.
    pub(crate) fn answer(self, result: Result<CommandResult, LedgerError>) {
        match self {
            Self::Reserve(_, reply) => send(reply, result, |result| match result {
                CommandResult::Reserve(reserved) => Some(reserved),
                _ => None,
            }),
            Self::Settle(_, _, reply) | Self::Release(_, _, reply) => send(reply, result, |result| match result {
                CommandResult::Settle(settled) => Some(settled),
                _ => None,
            }),
            Self::Recover(_, reply) | Self::Expire { reply, .. } => send(reply, result, |result| match result {
                CommandResult::Count(count) => Some(count),
                _ => None,
            }),
            Self::UpstreamLimits { reply, .. }
            | Self::Insert(_, reply)
            | Self::CloseRuns { reply, .. }
            | Self::Close(reply) => {
                send(reply, result, |result| matches!(result, CommandResult::Done).then_some(()));
            }
        }
    }
}

fn send<T>(reply: Reply<T>, result: Result<CommandResult, LedgerError>, take: impl FnOnce(CommandResult) -> Option<T>) {
    let _ = reply.send(result.and_then(|result| take(result).ok_or(LedgerError::Closed)));
}
