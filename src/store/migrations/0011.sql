-- A question to an agent belongs to the plan and the task for which it is asked, where it is for one.
ALTER TABLE spendings ADD COLUMN is_question INTEGER NOT NULL DEFAULT 0 CHECK (is_question IN (0, 1));
UPDATE spendings SET is_question = 1 WHERE plan IS NULL;
DROP INDEX spendings_told;
CREATE INDEX spendings_told ON spendings (provider, started_at)
    WHERE is_open = 0 AND is_question = 0 AND (spent IS NOT NULL OR input_tokens + output_tokens > 0);
