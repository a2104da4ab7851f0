-- What ran or was held at some time between two moments is asked at the end of every attempt in a shared
-- folder; without these it costs as much as the project is old.

CREATE INDEX attempts_ended ON attempts (project, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX attempts_open ON attempts (project, started_at) WHERE ended_at IS NULL;
CREATE INDEX claims_released ON claims (project, released_at) WHERE released_at IS NOT NULL;
CREATE INDEX landings_of_attempt ON landings (attempt);
