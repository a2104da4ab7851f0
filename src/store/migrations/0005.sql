-- Pipelines. A run is a plan; its stages make the plan's tasks as they begin.

CREATE TABLE pipeline_runs (
    plan         TEXT PRIMARY KEY REFERENCES plans (id),
    project      TEXT NOT NULL,
    pipeline     TEXT NOT NULL,               -- its name in the configuration
    request      TEXT,                        -- none where the plan's own tasks are the first stage's
    document     TEXT NOT NULL,               -- the stages as they were configured then, JSON
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pipeline_runs_by_project ON pipeline_runs (project, created_at);

CREATE TABLE pipeline_stages (
    plan         TEXT NOT NULL REFERENCES pipeline_runs (plan),
    ordinal      INTEGER NOT NULL,
    name         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('waiting', 'approval', 'running', 'fixing', 'done', 'failed', 'refused',
                                                'blocked', 'unknown', 'rolling-back', 'rolled-back')),
    round        INTEGER NOT NULL DEFAULT 0,  -- rounds that were begun
    counted_from INTEGER NOT NULL DEFAULT 0,  -- those up to this one do not count any more
    is_worked    INTEGER NOT NULL DEFAULT 0 CHECK (is_worked IN (0, 1)),  -- only its command is left
    reason       TEXT,
    approved     INTEGER CHECK (approved IN (0, 1)),
    decided_by   TEXT,
    decided_at   INTEGER,
    message      TEXT,                        -- what was said with it
    command      TEXT,                        -- the run of its command since it was last approved
    rollback     TEXT,
    undo_asked_by TEXT,                       -- who had it rolled back
    changed_at   INTEGER NOT NULL,
    PRIMARY KEY (plan, ordinal),
    CHECK ((approved IS NULL) = (decided_by IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE pipeline_tasks (
    plan         TEXT NOT NULL,
    task         TEXT NOT NULL,
    stage        INTEGER NOT NULL,
    round        INTEGER NOT NULL,
    is_fix       INTEGER NOT NULL CHECK (is_fix IN (0, 1)),
    origin       TEXT,                        -- the task that it is done for, or the attempt that found what it mends
    PRIMARY KEY (plan, task)
) STRICT, WITHOUT ROWID;

-- Every run of a stage's command. The row is there before anything is started, and never used again:
-- what was begun and did not tell how it ended is not known, and not done a second time.
CREATE TABLE pipeline_commands (
    id           TEXT PRIMARY KEY,            -- also the name of its run folder
    plan         TEXT NOT NULL,
    stage        INTEGER NOT NULL,
    is_rollback  INTEGER NOT NULL CHECK (is_rollback IN (0, 1)),
    state        TEXT NOT NULL CHECK (state IN ('running', 'passed', 'failed', 'unknown')),
    commit_id    TEXT NOT NULL,
    reason       TEXT,
    log          TEXT,                        -- path of the kept log
    began_at     INTEGER NOT NULL,
    ended_at     INTEGER,
    CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX pipeline_commands_of_plan ON pipeline_commands (plan, began_at);
