// Package jobs is the product's main road: what runs on a schedule or from the
// command line, and in which order. Every step is a function of (days, archive)
// and may be run again.
//
//  1. Read. [Extract] ranges over a data.UsageSource and a data.InventorySource.
//     Rows that cannot be accepted go to quarantine; past a share of the wanted
//     rows the whole extraction is refused and nothing is committed.
//
//  2. Archive. The rows are sorted and written by archive.Run. On disk after
//     it: usage/usage_date=…/part-….parquet and one commit in usage/_delta_log
//     (none when nothing changed).
//
//  3. Roll up. transform.Rollup adds each new part up, column-wise, to
//     usage_daily, whose commit names the usage version it was rolled from. Once
//     a week the days that no digest looks at one by one are condensed to
//     usage_past, one row for each subscription, whatever the years.
//
//  4. Inventory. The customers and subscriptions of the day, completed with the
//     first and last usage day of each subscription, become a snapshot. A source
//     without inventory has it derived from its usage. The run ends with
//     runs/<run>.json, which names the heads of all tables.
//
//  5. Compute. [Load] takes an archive.View (what was known at a time), reads
//     the days of a period and some before it, what is condensed of the others, has the churn model score
//     the subscriptions at both ends, and returns a reports.Portfolio.
//
//  6. Build. [Digest] takes the portfolio and, for each recipient of a role,
//     cuts it down to that recipient's scope before anything is computed,
//     builds a reports.Digest and renders it.
//
//  7. Seal. Each rendered digest becomes one message of package mail, as bytes
//     that never change again, written as NAME.eml beside its .html and .txt.
package jobs
