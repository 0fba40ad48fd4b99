-- Times are milliseconds since 1970 in UTC.

CREATE TABLE runs (
  id       TEXT PRIMARY KEY,            -- job@slot
  job      TEXT NOT NULL,
  slot     BIGINT NOT NULL,             -- nominal time
  state    TEXT NOT NULL,               -- queued, running, done, warned, failed, held, skipped
  attempt  BIGINT NOT NULL DEFAULT 0,
  due      BIGINT NOT NULL,
  owner    TEXT NOT NULL DEFAULT '',
  lease    BIGINT NOT NULL DEFAULT 0,   -- until when the owner holds it
  started  BIGINT,
  finished BIGINT,
  note     TEXT NOT NULL DEFAULT '',    -- why, for people
  result   TEXT NOT NULL DEFAULT ''     -- JSON, what the job says about itself
);
CREATE INDEX runs_by_job ON runs (job, slot);
-- No two runs of one job at a time, across processes.
CREATE UNIQUE INDEX runs_one_at_a_time ON runs (job) WHERE state = 'running';

CREATE TABLE mails (
  sha256  TEXT PRIMARY KEY,
  eml     BYTEA NOT NULL                -- sealed bytes
);

CREATE TABLE deliveries (
  id        TEXT PRIMARY KEY,           -- Message-ID without brackets
  run       TEXT NOT NULL,
  kind      TEXT NOT NULL,
  role      TEXT NOT NULL,
  period    TEXT NOT NULL,
  recipient TEXT NOT NULL,              -- lower case
  edition   BIGINT NOT NULL,
  state     TEXT NOT NULL,              -- pending, sending, dot, sent, failed, unknown, diverted, dropped
  attempt   BIGINT NOT NULL DEFAULT 0,
  due       BIGINT NOT NULL,
  deadline  BIGINT NOT NULL,            -- not tried any more after it
  subject   TEXT NOT NULL,
  report    TEXT NOT NULL,              -- report id
  sha256    TEXT NOT NULL REFERENCES mails (sha256),
  reply     TEXT NOT NULL DEFAULT '',   -- the relay's last answer
  created   BIGINT NOT NULL,
  updated   BIGINT NOT NULL,
  UNIQUE (kind, role, period, recipient, edition)
);
CREATE INDEX deliveries_by_run ON deliveries (run);
CREATE INDEX deliveries_by_state ON deliveries (state, due);

CREATE TABLE suppressions (
  address TEXT PRIMARY KEY,
  reason  TEXT NOT NULL,
  since   BIGINT NOT NULL
);

CREATE TABLE pauses (
  job   TEXT PRIMARY KEY,
  note  TEXT NOT NULL,
  since BIGINT NOT NULL
);

CREATE TABLE alarms (
  key     TEXT PRIMARY KEY,             -- what it is about, e.g. job:nightly
  message TEXT NOT NULL,
  since   BIGINT NOT NULL
);
