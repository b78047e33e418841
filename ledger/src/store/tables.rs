//! The tables in an order in which rows may be inserted: none refers to a later one.

/// One table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// The columns that name a row.
    pub(crate) key: &'static [&'static str],
    /// Its columns, in the order of its rows' values.
    pub(crate) columns: &'static [Column],
    /// Columns whose sum a transfer verifies.
    pub(crate) sums: &'static [&'static str],
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// A whole number.
    Number(&'static str),
    /// A text.
    Text(&'static str),
}

impl Column {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Number(name) | Self::Text(name) => name,
        }
    }
}

use Column::{Number, Text};

pub(crate) const EPOCHS: Table = Table {
    name: "epochs",
    key: &["epoch"],
    columns: &[Number("epoch"), Text("writer"), Number("began_at"), Number("seen_at"), Number("ended_at")],
    sums: &[],
};
pub(crate) const EXECUTION_RUNS: Table = Table {
    name: "execution_runs",
    key: &["id"],
    columns: &[
        Text("id"),
        Number("epoch"),
        Text("namespace"),
        Text("work_order"),
        Text("title"),
        Text("repository"),
        Text("revision"),
        Text("base_commit"),
        Number("started_at"),
        Number("finished_at"),
        Text("outcome"),
        Text("winner"),
    ],
    sums: &[],
};
pub(crate) const TASK_EXECUTIONS: Table = Table {
    name: "task_executions",
    key: &["id"],
    columns: &[
        Text("id"),
        Number("epoch"),
        Text("run_id"),
        Text("task"),
        Number("round"),
        Number("started_at"),
        Number("finished_at"),
        Text("outcome"),
        Text("reason"),
    ],
    sums: &[],
};
pub(crate) const WORLD_EXECUTIONS: Table = Table {
    name: "world_executions",
    key: &["id"],
    columns: &[
        Text("id"),
        Number("epoch"),
        Text("run_id"),
        Text("task_id"),
        Text("world"),
        Text("world_uid"),
        Number("attempt"),
        Text("variant"),
        Text("model"),
        Text("temperature"),
        Text("prompt"),
        Text("pod"),
        Number("started_at"),
        Number("finished_at"),
        Text("outcome"),
        Text("reason"),
        Number("score"),
        Text("result_commit"),
    ],
    sums: &["attempt"],
};
pub(crate) const CHECKPOINTS: Table = Table {
    name: "checkpoints",
    key: &["id"],
    columns: &[
        Text("id"),
        Number("epoch"),
        Text("world_execution_id"),
        Text("stage"),
        Text("commit_id"),
        Number("made_at"),
        Text("details"),
    ],
    sums: &[],
};
pub(crate) const WORKTREES: Table = Table {
    name: "worktrees",
    key: &["id"],
    columns: &[
        Text("id"),
        Number("epoch"),
        Text("world_execution_id"),
        Text("path"),
        Text("node"),
        Text("base_commit"),
        Number("made_at"),
        Number("removed_at"),
    ],
    sums: &[],
};
pub(crate) const LLM_CALLS: Table = Table {
    name: "llm_calls",
    key: &["id"],
    columns: &[
        Text("id"),
        Number("epoch"),
        Text("namespace"),
        Text("work_order"),
        Text("order_uid"),
        Text("world"),
        Text("world_uid"),
        Number("attempt"),
        Text("provider"),
        Text("model"),
        Text("prices"),
        Number("reserved_at"),
        Number("settled_at"),
        Text("outcome"),
        Number("status"),
        Number("estimated"),
        Number("input_tokens"),
        Number("cached_tokens"),
        Number("cache_write_5m_tokens"),
        Number("cache_write_1h_tokens"),
        Number("output_tokens"),
        Number("reasoning_tokens"),
        Number("cost"),
        Number("first_byte_ms"),
        Number("total_ms"),
    ],
    sums: &["cost", "input_tokens", "cached_tokens", "output_tokens"],
};
pub(crate) const CALL_TOTALS: Table = Table {
    name: "call_totals",
    key: &["outcome"],
    columns: &[
        Text("outcome"),
        Number("epoch"),
        Number("until"),
        Number("calls"),
        Number("cost"),
        Number("input_tokens"),
        Number("cached_tokens"),
        Number("cache_write_tokens"),
        Number("output_tokens"),
    ],
    sums: &["calls", "cost", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens"],
};
pub(crate) const RESERVATIONS: Table = Table {
    name: "reservations",
    key: &["id"],
    columns: &[
        Text("id"),
        Number("epoch"),
        Text("namespace"),
        Text("work_order"),
        Text("order_uid"),
        Text("world"),
        Text("world_uid"),
        Number("attempt"),
        Text("provider"),
        Text("model"),
        Text("prices"),
        Number("reserved_at"),
        Number("cost"),
        Number("tokens"),
        Text("details"),
    ],
    sums: &["cost", "tokens"],
};
pub(crate) const BUDGETS: Table = Table {
    name: "budgets",
    key: &["holder", "period_start"],
    columns: &[
        Text("holder"),
        Number("period_start"),
        Number("epoch"),
        Number("spent_cost"),
        Number("spent_tokens"),
        Number("reserved_cost"),
        Number("reserved_tokens"),
    ],
    sums: &["spent_cost", "spent_tokens", "reserved_cost", "reserved_tokens"],
};
pub(crate) const RATE_WINDOWS: Table = Table {
    name: "rate_windows",
    key: &["provider"],
    columns: &[Text("provider"), Number("epoch"), Text("state")],
    sums: &[],
};
pub(crate) const BREAKER: Table = Table {
    name: "breaker",
    key: &["provider", "model"],
    columns: &[Text("provider"), Text("model"), Number("epoch"), Text("state")],
    sums: &[],
};
pub(crate) const AUDIT: Table = Table {
    name: "audit",
    key: &["id"],
    columns: &[
        Text("id"),
        Number("epoch"),
        Number("at"),
        Text("order_uid"),
        Text("stage"),
        Text("result"),
        Text("details"),
        Text("counts"),
        Number("size_before"),
        Number("size_after"),
        Number("retry_count"),
        Text("failure_reason"),
    ],
    sums: &[],
};

/// Returns a table's place among [`ALL`].
pub(crate) fn place(table: &Table) -> usize {
    ALL.iter().take_while(|other| other.name != table.name).count()
}

/// All of them.
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
