-- Money is counted in millionths of a dollar, so that sums are exact.

-- What each attempt, and each question to an agent, was set aside for and cost. It belongs for good
-- to the day on which it began, whatever the clock does later.
CREATE TABLE spendings (
    id           TEXT PRIMARY KEY,            -- of the attempt, or of the question's run
    project      TEXT NOT NULL,
    plan         TEXT,                        -- none for a question
    task         TEXT,
    worker       TEXT NOT NULL,
    provider     TEXT NOT NULL,
    started_at   INTEGER NOT NULL,
    day          INTEGER NOT NULL,            -- where its day began, UTC
    is_open      INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    cap          INTEGER,                     -- what its program was told that it may cost
    reserved     INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    reserved_tokens INTEGER NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
    spent        INTEGER CHECK (spent >= 0),  -- null: nobody told, and no price is known
    input_tokens INTEGER NOT NULL DEFAULT 0 CHECK (input_tokens >= 0),
    cached_tokens INTEGER NOT NULL DEFAULT 0 CHECK (cached_tokens >= 0),
    cache_write_tokens INTEGER NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0),
    output_tokens INTEGER NOT NULL DEFAULT 0 CHECK (output_tokens >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX spendings_by_time ON spendings (started_at);
-- What the next one will cost is asked at each start.
CREATE INDEX spendings_told ON spendings (provider, started_at)
    WHERE is_open = 0 AND plan IS NOT NULL AND (spent IS NOT NULL OR input_tokens + output_tokens > 0);
CREATE INDEX spendings_by_plan ON spendings (plan, task);

-- Kept sums make a look at a budget cost the same for ten attempts and for ten thousand.
CREATE TABLE spent_days (
    provider     TEXT NOT NULL,
    day          INTEGER NOT NULL,
    spent        INTEGER NOT NULL,
    tokens       INTEGER NOT NULL,
    reserved     INTEGER NOT NULL,            -- beyond what was spent, for what is open
    reserved_tokens INTEGER NOT NULL,
    PRIMARY KEY (provider, day)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER spendings_summed_in AFTER INSERT ON spendings BEGIN
    INSERT INTO spent_days VALUES (
        new.provider, new.day, coalesce(new.spent, 0),
        new.input_tokens + new.cached_tokens + new.cache_write_tokens + new.output_tokens,
        new.is_open * max(new.reserved - coalesce(new.spent, 0), 0),
        new.is_open * max(new.reserved_tokens - new.input_tokens - new.cached_tokens
                          - new.cache_write_tokens - new.output_tokens, 0)
    ) ON CONFLICT DO UPDATE SET
        spent = spent + excluded.spent, tokens = tokens + excluded.tokens,
        reserved = reserved + excluded.reserved, reserved_tokens = reserved_tokens + excluded.reserved_tokens;
END;
CREATE TRIGGER spendings_summed_over AFTER UPDATE ON spendings BEGIN
    UPDATE spent_days SET
        spent = spent + coalesce(new.spent, 0) - coalesce(old.spent, 0),
        tokens = tokens + new.input_tokens + new.cached_tokens + new.cache_write_tokens + new.output_tokens
               - old.input_tokens - old.cached_tokens - old.cache_write_tokens - old.output_tokens,
        reserved = reserved + new.is_open * max(new.reserved - coalesce(new.spent, 0), 0)
                 - old.is_open * max(old.reserved - coalesce(old.spent, 0), 0),
        reserved_tokens = reserved_tokens
            + new.is_open * max(new.reserved_tokens - new.input_tokens - new.cached_tokens
                                - new.cache_write_tokens - new.output_tokens, 0)
            - old.is_open * max(old.reserved_tokens - old.input_tokens - old.cached_tokens
                                - old.cache_write_tokens - old.output_tokens, 0)
    WHERE provider = new.provider AND day = new.day;
END;

-- What was counted before. No attempt costs more than a million dollars or a billion tokens.
INSERT INTO spendings (id, project, plan, task, worker, provider, started_at, day, is_open, reserved, spent,
                       input_tokens, cached_tokens, cache_write_tokens, output_tokens)
SELECT id, project, plan, task, worker, provider, started_at, started_at - started_at % 86400000,
       state <> 'finished',
       CAST(round(min(max(reserved_usd, 0.0), 1e6) * 1e6) AS INTEGER),
       CAST(round(min(max(usd, 0.0), 1e6) * 1e6) AS INTEGER),
       min(max(input_tokens, 0), 1000000000), min(max(cached_tokens, 0), 1000000000),
       min(max(cache_write_tokens, 0), 1000000000), min(max(output_tokens, 0), 1000000000)
FROM attempts;

-- What was said of a budget in a period, so that it is said once. A budget that is changed is another one.
CREATE TABLE budget_words (
    budget       TEXT NOT NULL,               -- provider, measure and limit, or the plan's
    period       INTEGER NOT NULL,            -- where the period began
    word         TEXT NOT NULL CHECK (word IN ('alert', 'reached')),
    at           INTEGER NOT NULL,
    PRIMARY KEY (budget, period, word)
) STRICT, WITHOUT ROWID;
