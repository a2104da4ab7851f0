-- Kapell's state. Times are milliseconds since 1970 UTC. Rows of claims, attempts and
-- events are never deleted: their numbers only grow, which is what fencing rests on.

CREATE TABLE projects (
    id          TEXT PRIMARY KEY,
    common_dir  TEXT NOT NULL UNIQUE,
    top         TEXT,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plans (
    id            TEXT PRIMARY KEY,
    project       TEXT NOT NULL REFERENCES projects (id),
    name          TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('draft', 'running', 'paused', 'done', 'failed', 'stopped')),
    document      TEXT NOT NULL,              -- the plan object without its tasks, JSON
    base          TEXT,                       -- commit that attempts start from, once dispatched
    target        TEXT,                       -- branch to land on, once dispatched
    integration   TEXT,                       -- ref that collects landed work
    max_parallel  INTEGER,
    reason        TEXT,
    fencing       INTEGER NOT NULL DEFAULT 0, -- grows with every conductor that takes the plan
    created_at    INTEGER NOT NULL,
    ended_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX plans_by_project ON plans (project, created_at);

CREATE TABLE tasks (
    plan        TEXT NOT NULL REFERENCES plans (id),
    ordinal     INTEGER NOT NULL,
    id          TEXT NOT NULL,
    is_number   INTEGER NOT NULL CHECK (is_number IN (0, 1)),
    document    TEXT NOT NULL,                -- the task object, JSON
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'ready', 'running', 'judging', 'rejected', 'approved',
                                               'landing', 'done', 'failed', 'blocked', 'cancelled')),
    wanted      INTEGER NOT NULL DEFAULT 0 CHECK (wanted IN (0, 1)),  -- it was dispatched
    parent      TEXT,                         -- the task whose worker delegated it
    reason      TEXT,                         -- why it waits, failed or was rejected
    feedback    TEXT,                         -- what the next attempt is told
    committed   TEXT,                         -- the commit that landed
    changed_at  INTEGER NOT NULL,
    PRIMARY KEY (plan, id),
    UNIQUE (plan, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_of_parent ON tasks (plan, parent) WHERE parent IS NOT NULL;

-- Kept counts make an overview cost the same for ten tasks and ten thousand.
CREATE TABLE task_counts (
    plan   TEXT NOT NULL,
    state  TEXT NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (plan, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER tasks_counted_in AFTER INSERT ON tasks BEGIN
    INSERT INTO task_counts VALUES (new.plan, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tasks_counted_over AFTER UPDATE OF state ON tasks WHEN old.state <> new.state BEGIN
    UPDATE task_counts SET n = n - 1 WHERE plan = old.plan AND state = old.state;
    INSERT INTO task_counts VALUES (new.plan, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TABLE attempts (
    id            TEXT PRIMARY KEY,
    project       TEXT NOT NULL,
    plan          TEXT NOT NULL,
    task          TEXT NOT NULL,
    number        INTEGER NOT NULL,
    worker        TEXT NOT NULL,
    provider      TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('starting', 'running', 'paused', 'stopping', 'finished')),
    outcome       TEXT CHECK (outcome IN ('submitted', 'violation', 'failed', 'rate-limited', 'timed-out',
                                          'stuck', 'killed', 'interrupted')),
    reason        TEXT,
    run_dir       TEXT NOT NULL,
    worktree      TEXT,
    base          TEXT,                       -- commit it started from
    reference     TEXT,                       -- ref that keeps its tree
    snapshot      TEXT,                       -- commit under that ref
    session       TEXT,                       -- the agent's own name for the conversation
    wall          TEXT,
    said          TEXT,                       -- the agent's final answer
    changed       TEXT,                       -- JSON array of paths
    outside_claim TEXT,                       -- JSON array of paths
    verdict       TEXT CHECK (verdict IN ('approved', 'rejected', 'error')),
    fencing       INTEGER NOT NULL DEFAULT 0, -- highest claim number it holds
    reserved_usd  REAL NOT NULL DEFAULT 0,
    usd           REAL,
    input_tokens  INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    UNIQUE (plan, task, number),
    CHECK ((state = 'finished') = (outcome IS NOT NULL)),
    CHECK ((state = 'finished') = (ended_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_live ON attempts (plan, provider) WHERE state <> 'finished';
CREATE INDEX attempts_spent ON attempts (provider, started_at);

CREATE TABLE gates (
    attempt      TEXT NOT NULL,
    ordinal      INTEGER NOT NULL,
    name         TEXT NOT NULL,
    outcome      TEXT NOT NULL CHECK (outcome IN ('pass', 'flaky', 'fail', 'skipped', 'error')),
    why          TEXT NOT NULL,
    evidence     TEXT,                        -- path of the kept evidence
    duration_ms  INTEGER NOT NULL,
    PRIMARY KEY (attempt, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    attempt      TEXT NOT NULL,
    path         TEXT NOT NULL,               -- as it is shown
    who          TEXT NOT NULL,               -- the holder who approved it
    at           INTEGER NOT NULL,
    PRIMARY KEY (attempt, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE claims (
    id           INTEGER PRIMARY KEY,         -- also the fencing number
    project      TEXT NOT NULL,
    pattern      TEXT NOT NULL,
    key          TEXT NOT NULL,               -- folded literal prefix, closed with '/'
    mode         TEXT NOT NULL CHECK (mode IN ('exclusive', 'shared')),
    holder       TEXT NOT NULL,
    holder_kind  TEXT NOT NULL CHECK (holder_kind IN ('attempt', 'agent', 'person')),
    plan         TEXT,
    task         TEXT,
    reason       TEXT,
    alive        TEXT,                        -- file whose lock proves that the holder lives
    since        INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    released_at  INTEGER,
    released_why TEXT,
    CHECK ((released_at IS NULL) = (released_why IS NULL))
) STRICT;
CREATE INDEX claims_live ON claims (project, key) WHERE released_at IS NULL;
CREATE INDEX claims_held ON claims (project, holder);

-- What a file was when a session that Kapell did not start claimed it by its first edit.
CREATE TABLE edits (
    claim   INTEGER PRIMARY KEY REFERENCES claims (id),
    path    TEXT NOT NULL,                    -- absolute
    before  TEXT NOT NULL                     -- digest of its content, or what it was instead
) STRICT;

-- Who waits for a claim, in the order of asking.
CREATE TABLE claim_waits (
    id           INTEGER PRIMARY KEY,
    project      TEXT NOT NULL,
    holder       TEXT NOT NULL,
    holder_kind  TEXT NOT NULL,
    mode         TEXT NOT NULL,
    patterns     TEXT NOT NULL,               -- JSON array
    alive        TEXT,
    since        INTEGER NOT NULL,
    until        INTEGER NOT NULL
) STRICT;

CREATE TABLE conductors (
    id            TEXT PRIMARY KEY,
    project       TEXT NOT NULL,
    plan          TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'paused', 'stopping', 'stopped', 'crashed')),
    pid           INTEGER NOT NULL,
    start_time    INTEGER NOT NULL,           -- of the process, so that a reused pid is not mistaken
    boot_id       TEXT NOT NULL,
    socket        TEXT,
    alive         TEXT NOT NULL,              -- file whose lock it holds
    fencing       INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    heartbeat_at  INTEGER NOT NULL,
    ended_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX conductors_by_plan ON conductors (plan, fencing);

-- A provider that refused work is left alone until then, by all projects.
CREATE TABLE cooldowns (
    provider  TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    until     INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What dispatch and judge answered with, so that a caller can ask again.
CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    project     TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('dispatch', 'judge')),
    plan        TEXT,
    attempt     TEXT,
    state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    result      TEXT,                         -- JSON, once done
    alive       TEXT,                         -- file whose lock proves that it is being worked on
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER
) STRICT, WITHOUT ROWID;

-- The landing queue's journal: every step can be taken up again where it stopped.
CREATE TABLE landings (
    id          INTEGER PRIMARY KEY,
    project     TEXT NOT NULL,
    plan        TEXT NOT NULL,
    task        TEXT NOT NULL,
    attempt     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('queued', 'merged', 'landed', 'conflict', 'failed')),
    branch      TEXT NOT NULL,
    work        TEXT NOT NULL,                -- the constructed commit
    onto        TEXT,                         -- where the branch was
    merged      TEXT,                         -- the merge that is to become the branch
    reason      TEXT,
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX landings_open ON landings (project, id) WHERE state IN ('queued', 'merged');

CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    project  TEXT NOT NULL,
    plan     TEXT,
    task     TEXT,
    attempt  TEXT,
    holder   TEXT,
    text     TEXT NOT NULL,
    data     TEXT                             -- JSON
) STRICT;
