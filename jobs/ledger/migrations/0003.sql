-- How often a run was begun since it was last asked for. attempt, which fences
-- its holders off from each other, only grows.
ALTER TABLE runs ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
UPDATE runs SET tries = attempt;
