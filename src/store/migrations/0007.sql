-- Environments: checkouts beside the project, each with sub-environments that have a port and a database.

CREATE TABLE environments (
    project      TEXT NOT NULL,
    name         TEXT NOT NULL,
    position     INTEGER NOT NULL,            -- counts its ports from the first of the project
    path         TEXT NOT NULL,
    branch       TEXT NOT NULL,               -- without refs/heads/
    main         TEXT NOT NULL,               -- the project's branch that it follows, the same way
    is_worktree  INTEGER NOT NULL CHECK (is_worktree IN (0, 1)),
    state        TEXT NOT NULL CHECK (state IN ('creating', 'ready', 'removing')),
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX environments_by_path ON environments (path);
CREATE UNIQUE INDEX environments_by_position ON environments (project, position);

CREATE TABLE environment_subs (
    project      TEXT NOT NULL,
    environment  TEXT NOT NULL,
    name         TEXT NOT NULL,
    position     INTEGER NOT NULL,
    port         INTEGER NOT NULL UNIQUE,     -- of all projects of this machine
    run          TEXT,                        -- the run of its last launch; also the name of its run folder
    is_wanted    INTEGER NOT NULL DEFAULT 0 CHECK (is_wanted IN (0, 1)),  -- whether it was last launched, not stopped
    PRIMARY KEY (project, environment, name),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- When what is done at intervals was done last.
CREATE TABLE environment_care (
    project      TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('daily', 'weekly', 'monthly')),
    at           INTEGER NOT NULL,
    PRIMARY KEY (project, kind)
) STRICT, WITHOUT ROWID;
