-- What the calls that were settled before `until` came to, by outcome. It outlives their rows, so that sums over all calls
-- never become smaller and can be read without reading every call.
CREATE TABLE call_totals (
    outcome TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    until BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL
);
