-- The environment in whose checkout an attempt works; none: a worktree of its own, or the shared folder.
ALTER TABLE attempts ADD COLUMN environment TEXT;
-- The group that an attempt's task was led to, also where somebody else takes over for its members.
ALTER TABLE attempts ADD COLUMN for_group TEXT;
CREATE INDEX attempts_by_environment ON attempts (project, environment, started_at) WHERE environment IS NOT NULL;
