-- The environment in whose checkout an attempt works; none: a worktree of its own, or the shared folder.
ALTER TABLE attempts ADD COLUMN environment TEXT;
CREATE INDEX attempts_by_environment ON attempts (project, environment, started_at) WHERE environment IS NOT NULL;
