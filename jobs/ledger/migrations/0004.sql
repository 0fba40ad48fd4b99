-- Messages of the inbox that were dealt with, by the SHA-256 of their bytes: each
-- counts once, also when marking it as read failed.
CREATE TABLE inbox (
  sha256 TEXT PRIMARY KEY,
  kind   TEXT NOT NULL,               -- what it was, e.g. bounce
  seen   BIGINT NOT NULL
);
