-- How a plan is run, as whoever started it last said; the plan's own rules stand where nobody said anything.
ALTER TABLE plans ADD COLUMN batch_size INTEGER;
ALTER TABLE plans ADD COLUMN max_attempts INTEGER;
ALTER TABLE plans ADD COLUMN timeout_s INTEGER;
ALTER TABLE plans ADD COLUMN stuck_after_s INTEGER;
ALTER TABLE plans ADD COLUMN stop_at INTEGER;       -- it is stopped then

-- Plans that could begin something if there were a seat, by which seats are all taken.
CREATE TABLE seat_waits (
    plan     TEXT PRIMARY KEY,
    project  TEXT NOT NULL,
    pool     TEXT NOT NULL CHECK (pool IN ('project', 'machine')),
    since    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
