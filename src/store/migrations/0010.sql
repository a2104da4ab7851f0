-- Whether a plan is not to wait for room is asked whenever it would have to, and mostly nobody said so.
CREATE INDEX events_launched ON events (plan, seq) WHERE kind = 'conductor.launched';
