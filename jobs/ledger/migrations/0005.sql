-- What recipients answered about a customer of a report. id is a hash of the link's
-- token: each counts once.
CREATE TABLE feedback (
  id        TEXT PRIMARY KEY,
  at        BIGINT NOT NULL,
  recipient TEXT NOT NULL,              -- lower case
  customer  TEXT NOT NULL,
  action    TEXT NOT NULL,              -- called, not_mine, snooze, false_alarm
  report    TEXT NOT NULL,              -- that was answered
  until     BIGINT,                     -- of a snooze
  stood     TEXT NOT NULL               -- JSON: what the report said of the customer
);
CREATE INDEX feedback_by_time ON feedback (at);

CREATE INDEX deliveries_by_report ON deliveries (report);
