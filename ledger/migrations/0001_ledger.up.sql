-- The same text runs on SQLite and on PostgreSQL. Times are milliseconds since 1970 in UTC, money is whole trillionths of a
-- dollar, `epoch` is that of the process that wrote the row.

CREATE TABLE epochs (
    epoch BIGINT PRIMARY KEY,
    writer TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE TABLE execution_runs (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    namespace TEXT NOT NULL,
    work_order TEXT NOT NULL,
    title TEXT NOT NULL,
    repository TEXT NOT NULL,
    revision TEXT NOT NULL,
    base_commit TEXT,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    outcome TEXT,
    winner TEXT
);
CREATE INDEX execution_runs_by_order ON execution_runs (namespace, work_order);
CREATE INDEX execution_runs_by_start ON execution_runs (started_at);

CREATE TABLE task_executions (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    run_id TEXT NOT NULL REFERENCES execution_runs (id) ON DELETE CASCADE,
    task TEXT NOT NULL,
    round BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    outcome TEXT,
    reason TEXT
);
CREATE INDEX task_executions_by_run ON task_executions (run_id);

CREATE TABLE world_executions (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    run_id TEXT NOT NULL REFERENCES execution_runs (id) ON DELETE CASCADE,
    task_id TEXT REFERENCES task_executions (id) ON DELETE CASCADE,
    world TEXT NOT NULL,
    world_uid TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    variant TEXT NOT NULL,
    model TEXT,
    temperature TEXT,
    prompt TEXT,
    pod TEXT,
    started_at BIGINT,
    finished_at BIGINT,
    outcome TEXT,
    reason TEXT,
    score BIGINT,
    result_commit TEXT
);
CREATE INDEX world_executions_by_run ON world_executions (run_id);
CREATE INDEX world_executions_by_world ON world_executions (world_uid, attempt);
CREATE INDEX world_executions_by_task ON world_executions (task_id);

CREATE TABLE checkpoints (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    world_execution_id TEXT NOT NULL REFERENCES world_executions (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    commit_id TEXT,
    made_at BIGINT NOT NULL,
    details TEXT
);
CREATE INDEX checkpoints_by_world ON checkpoints (world_execution_id, made_at);

CREATE TABLE worktrees (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    world_execution_id TEXT NOT NULL REFERENCES world_executions (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    node TEXT,
    base_commit TEXT,
    made_at BIGINT NOT NULL,
    removed_at BIGINT
);
CREATE INDEX worktrees_by_world ON worktrees (world_execution_id);

CREATE TABLE llm_calls (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    namespace TEXT NOT NULL,
    work_order TEXT NOT NULL,
    order_uid TEXT NOT NULL,
    world TEXT NOT NULL,
    world_uid TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    prices TEXT NOT NULL,
    reserved_at BIGINT NOT NULL,
    settled_at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    status BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_5m_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    first_byte_ms BIGINT,
    total_ms BIGINT NOT NULL
);
CREATE INDEX llm_calls_by_order ON llm_calls (order_uid, world_uid);
CREATE INDEX llm_calls_by_settlement ON llm_calls (settled_at);
CREATE INDEX llm_calls_by_provider ON llm_calls (provider, settled_at);

CREATE TABLE reservations (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    namespace TEXT NOT NULL,
    work_order TEXT NOT NULL,
    order_uid TEXT NOT NULL,
    world TEXT NOT NULL,
    world_uid TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    prices TEXT NOT NULL,
    reserved_at BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX reservations_by_epoch ON reservations (epoch);
CREATE INDEX reservations_by_order ON reservations (order_uid);

CREATE TABLE budgets (
    holder TEXT NOT NULL,
    period_start BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    spent_cost BIGINT NOT NULL,
    spent_tokens BIGINT NOT NULL,
    reserved_cost BIGINT NOT NULL,
    reserved_tokens BIGINT NOT NULL,
    PRIMARY KEY (holder, period_start)
);

CREATE TABLE rate_windows (
    provider TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    state TEXT NOT NULL
);

CREATE TABLE breaker (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (provider, model)
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    at BIGINT NOT NULL,
    order_uid TEXT,
    stage TEXT NOT NULL,
    result TEXT NOT NULL,
    details TEXT NOT NULL,
    counts TEXT NOT NULL,
    size_before BIGINT,
    size_after BIGINT,
    retry_count BIGINT,
    failure_reason TEXT
);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_order ON audit (order_uid);
