-- Health: what was seen of workers, what they were told while they worked, and who only crashes.

-- What was seen of an attempt when it was looked at last. Shown, and gone on with by the next conductor.
CREATE TABLE vitals (
    attempt   TEXT PRIMARY KEY,
    looked_at INTEGER NOT NULL,
    alive_at  INTEGER NOT NULL,
    cpu_ms    INTEGER NOT NULL DEFAULT 0,
    tool      TEXT,
    tool_at   INTEGER,
    -- It was nudged in the silence that it is in.
    nudged_at INTEGER
) STRICT, WITHOUT ROWID;

-- What a worker is to be told with the next thing that it asks.
CREATE TABLE nudges (
    id      INTEGER PRIMARY KEY,
    attempt TEXT NOT NULL,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,
    text    TEXT NOT NULL,
    told_at INTEGER
) STRICT;
CREATE INDEX nudges_to_tell ON nudges (attempt) WHERE told_at IS NULL;

-- Workers whose last attempts ended at once. Without a row, or with no time in it, they may work.
CREATE TABLE worker_health (
    project     TEXT NOT NULL,
    worker      TEXT NOT NULL,
    crashes     INTEGER NOT NULL,
    quarantines INTEGER NOT NULL,
    since       INTEGER,
    until       INTEGER,
    reason      TEXT,
    PRIMARY KEY (project, worker)
) STRICT, WITHOUT ROWID;
