-- What a person asked of a run, so that whoever takes it over does the same.
ALTER TABLE runs ADD COLUMN asked BIGINT NOT NULL DEFAULT 0;    -- 1: no slot of the schedule
ALTER TABLE runs ADD COLUMN only_to TEXT NOT NULL DEFAULT '';   -- the one recipient it is for
ALTER TABLE runs ADD COLUMN again TEXT NOT NULL DEFAULT '';     -- why it sends what was sent
-- 1: its mails are stored and may leave; whoever has the run delivers them.
ALTER TABLE runs ADD COLUMN cleared BIGINT NOT NULL DEFAULT 0;

-- 0: nobody could be told of it yet.
ALTER TABLE alarms ADD COLUMN said BIGINT NOT NULL DEFAULT 1;

CREATE INDEX deliveries_by_update ON deliveries (updated);
