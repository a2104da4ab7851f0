-- The fleet: whose turn it is, what waits and for how long, and what changed since one looked.

-- Which of a project's workers began an attempt last (turns only grow), and how many it began on a day (UTC).
CREATE TABLE worker_turns (
    project  TEXT NOT NULL,
    worker   TEXT NOT NULL,
    turn     INTEGER NOT NULL,
    day      INTEGER NOT NULL,
    today    INTEGER NOT NULL,
    PRIMARY KEY (project, worker)
) STRICT, WITHOUT ROWID;
INSERT INTO worker_turns
    SELECT project, worker, row_number() OVER (PARTITION BY project ORDER BY max(started_at)),
           max(started_at) / 86400000, 0
    FROM attempts GROUP BY project, worker;
CREATE TRIGGER attempts_take_turns AFTER INSERT ON attempts BEGIN
    INSERT INTO worker_turns
        VALUES (new.project, new.worker,
                (SELECT coalesce(max(turn), 0) + 1 FROM worker_turns WHERE project = new.project),
                new.started_at / 86400000, 1)
        ON CONFLICT DO UPDATE SET turn = excluded.turn, day = excluded.day,
            today = CASE WHEN day = excluded.day THEN today + 1 ELSE 1 END;
END;
CREATE INDEX attempts_by_day ON attempts (project, started_at);

-- Whoever keeps a plan's tasks in mind reads only those whose number is beyond what it has seen.
CREATE TABLE task_touches (plan TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
ALTER TABLE tasks ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;
-- When it was recorded that the task missed its deadline.
ALTER TABLE tasks ADD COLUMN missed_at INTEGER;
ALTER TABLE tasks ADD COLUMN priority INTEGER
    GENERATED ALWAYS AS (coalesce(json_extract(document, '$.priority'), 5)) VIRTUAL;
CREATE INDEX tasks_touched ON tasks (plan, touched);
CREATE INDEX tasks_that_wait ON tasks (plan) WHERE wanted = 1 AND state IN ('waiting', 'ready', 'rejected');
CREATE INDEX tasks_at_work ON tasks (plan) WHERE state IN ('running', 'judging', 'approved', 'landing');
CREATE TRIGGER tasks_touched_in AFTER INSERT ON tasks BEGIN
    INSERT INTO task_touches VALUES (new.plan, 1) ON CONFLICT DO UPDATE SET n = n + 1;
    UPDATE tasks SET touched = (SELECT n FROM task_touches WHERE plan = new.plan)
        WHERE plan = new.plan AND id = new.id;
END;
CREATE TRIGGER tasks_touched_over AFTER UPDATE OF state, wanted, changed_at, reason ON tasks
    WHEN old.state <> new.state OR old.wanted <> new.wanted OR old.changed_at <> new.changed_at
        OR old.reason IS NOT new.reason BEGIN
    INSERT INTO task_touches VALUES (new.plan, 1) ON CONFLICT DO UPDATE SET n = n + 1;
    UPDATE tasks SET touched = (SELECT n FROM task_touches WHERE plan = new.plan)
        WHERE plan = new.plan AND id = new.id;
END;
