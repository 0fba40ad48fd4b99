// Package archive keeps every snapshot that an extraction took, so that years
// later it can be told what was known on a day, and proved that it is unchanged.
//
// An archive is a Delta lake over a small [Bucket]: tables of Parquet files,
// each with a log of numbered JSON commits that any Delta reader understands.
//
//	customers/      snapshot_date=2026-11-20/…   one full inventory a day
//	subscriptions/  snapshot_date=2026-11-20/…
//	usage/          usage_date=2026-11-20/part-<feed>-<run>-0001.parquet
//	                _delta_log/00000000000000000012.json
//	usage_daily/    usage_date=2026-11-20/…      rolled up from usage, file by file
//	usage_past/     until_date=2026-07-26/…      what usage_daily comes to up to some days
//	reports/        report_date=2026-11-23/…     one row for each mail that was built
//	quarantine/     <run>/usage.jsonl            rows that could not be accepted
//	runs/           <run>.json                   the heads of all tables after a run
//	mails/ inputs/  <sha256>.eml, <sha256>       sealed mails, and what they were made with
//	holds/          <hold>.json                  what must not be pruned, and why
//	tmp/                                         files that are not finished
//
// How rows get in:
//
//  1. [Archive.Begin] starts a [Run]. [Run.AddUsage] stages rows in an external
//     merge sort, which also groups them into parts: one day of one [Feed] and
//     billing period. [Run.Quarantine] keeps bad rows aside.
//  2. [Run.CommitUsage] writes each part with parquet-go, opens it again, reads
//     every row back and compares, and then commits what differs from the newest
//     version. Equal content commits nothing. A commit is a file that is put
//     under the next number if that is still free; who loses looks again.
//  3. [Run.Rollup] does the same for usage_daily, [Run.Condense] makes usage_past from
//     that, [Run.CommitCustomers] and
//     [Run.CommitSubscriptions] for the inventory, [Run.CommitReports] for what
//     was mailed; [Run.Finish] writes checkpoints for other readers and the
//     record of the run.
//
// Every log entry names the hash of the one before it, every file's hash is in
// the entry that added it, and [View.Seal] is a hash over the newest entries: a
// seal that left the house with a mail proves everything before it. What the
// chain cannot show is that the newest run was removed as a whole.
//
// How rows come out: [Archive.View] fixes each table at a version, now or as of
// a time. [View.Scan] and [View.Snapshot] check size, hash and schema of a file,
// of a large one the hashes of the columns that are read, and make Arrow records
// with the schemas of package data over its column pages: a record keeps the pages that it lies over until it is released. A file that is
// not what the log says is [ErrDamaged] or [ErrSchema]. [ScanFile] reads files that
// others wrote in the same way.
//
// [Verify] checks all of it at once and names what is not what it was.
// [Run.Prune] removes what is past its [Retention], what is under a [Hold]
// aside, and says so in the log. A table may gain columns that may be null; files
// without them read as null. No other change of a schema is accepted.
package archive
