package jobs

import (
	"fmt"
	"strings"

	"tidemark/data"
	"tidemark/reports"
)

// query writes the SQL that gives a metric from the archive's files, in the
// words of DuckDB. It is written apart from what computes the metric, by the
// definitions in the documentation, so that the one checks the other.
type query struct {
	in        *reports.Portfolio
	row       data.Report
	doc       *reports.Document
	scoped    bool     // only the customers listed
	customers []string // in scope
	usage     []ExplainedFile
	subs      []ExplainedFile
	named     []ExplainedFile // customers
	scores    []ExplainedFile
	snapshots []data.Day
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func date(d data.Day) string { return "DATE '" + d.String() + "'" }

// read is a table of files, cut down to the scope.
func (q *query) read(files []ExplainedFile) string {
	var paths []string
	for _, f := range files {
		paths = append(paths, "\n    "+quoted(f.Path))
	}
	table := "read_parquet([" + strings.Join(paths, ",") + "],\n    hive_partitioning = true)"
	if !q.scoped {
		return table
	}
	var ids []string
	for _, id := range q.customers {
		ids = append(ids, "\n    "+quoted(id))
	}
	return table + "\n  WHERE customer_id IN (" + strings.Join(ids, ",") + ")"
}

// cost sums all charges but tax.
func (q *query) cost(by string) string {
	return fmt.Sprintf("WITH daily AS (SELECT * FROM %s)\nSELECT %s, sum(cost) AS cost\nFROM daily\nWHERE charge_category <> 'tax'\nGROUP BY %[2]s\nHAVING sum(cost) <> 0\nORDER BY %[2]s;", q.read(q.usage), by)
}

// used has the rows with usage: charge category usage, quantity above 0.
func (q *query) used() string {
	return fmt.Sprintf("used AS (SELECT customer_id, subscription_id FROM (SELECT * FROM %s) WHERE usage_rows > 0)", q.read(q.usage))
}

func (q *query) customersWithUsage() string {
	return "WITH " + q.used() + "\nSELECT count(DISTINCT customer_id) FROM used;"
}

const ended = "('suspended', 'deprovisioned')"

// inventory has the newest row of every subscription, with the day it ended:
// the day the source states, else the first snapshot of the last unbroken run
// that has it suspended or deprovisioned, else the first that lacks it.
func (q *query) inventory() string {
	var days []string
	for _, d := range q.snapshots {
		days = append(days, date(d))
	}
	return fmt.Sprintf(`seen AS (SELECT * FROM %s),
snapshots AS (SELECT unnest([%s]) AS day),
newest AS (SELECT * FROM seen QUALIFY row_number() OVER (PARTITION BY subscription_id ORDER BY snapshot_date DESC) = 1),
closing AS (
  SELECT n.*, n.status IN %[3]s AS closed,
    (SELECT min(day) FROM snapshots WHERE day > n.snapshot_date) AS vanished,
    (SELECT min(s.snapshot_date) FROM seen s WHERE s.subscription_id = n.subscription_id AND s.snapshot_date > coalesce(
      (SELECT max(o.snapshot_date) FROM seen o WHERE o.subscription_id = n.subscription_id AND o.status NOT IN %[3]s), DATE '0001-01-01')) AS closed_since
  FROM newest n),
subscriptions AS (
  SELECT *, ended_at IS NOT NULL AND (vanished IS NULL OR closed OR ended_at <= vanished) AS stated,
    CASE WHEN ended_at IS NOT NULL AND (vanished IS NULL OR closed OR ended_at <= vanished) THEN ended_at
         WHEN closed THEN closed_since ELSE vanished END AS ended
  FROM closing)`, q.read(q.subs), strings.Join(days, ", "), ended)
}

func (q *query) period() (from, to string) {
	p := q.in.Inputs.Period
	return date(p.From), date(p.To)
}

// existed is the condition that a subscription existed in the period.
func (q *query) existed() string {
	from, to := q.period()
	return fmt.Sprintf("(created IS NULL OR created <= %s) AND (ended IS NULL OR ended >= %s)", to, from)
}

// active is the condition that a subscription is active on a day.
func active(day string) string {
	return fmt.Sprintf(`NOT coalesce(vanished <= %[1]s, false) AND NOT (stated AND ended <= %[1]s) AND coalesce(
    (SELECT s.status FROM seen s WHERE s.subscription_id = subscriptions.subscription_id AND s.snapshot_date <= %[1]s
     ORDER BY s.snapshot_date DESC LIMIT 1),
    CASE WHEN created IS NULL OR created <= %[1]s THEN 'active' END) = 'active'`, day)
}

func (q *query) sold() string {
	from, to := q.period()
	return fmt.Sprintf("WITH %s\nSELECT count(*) FROM subscriptions WHERE created BETWEEN %s AND %s;", q.inventory(), from, to)
}

func (q *query) newCustomers() string {
	from, to := q.period()
	return fmt.Sprintf("WITH %s,\nfirst AS (SELECT customer_id, min(created) AS created, bool_or(created IS NULL) AS older FROM subscriptions GROUP BY customer_id)\n"+
		"SELECT count(*) FROM first WHERE NOT older AND created BETWEEN %s AND %s;", q.inventory(), from, to)
}

func (q *query) customersWithoutUsage() string {
	return fmt.Sprintf("WITH %s,\n%s\nSELECT count(DISTINCT customer_id) FROM subscriptions\nWHERE %s\n  AND customer_id NOT IN (SELECT customer_id FROM used);",
		q.used(), q.inventory(), q.existed())
}

func (q *query) withoutUsage() string {
	known := q.in.Inputs.Known(q.in.Inputs.Period)
	return fmt.Sprintf("WITH %s,\n%s\nSELECT count(*) FROM subscriptions\nWHERE %s\n  AND %s\n  AND subscription_id NOT IN (SELECT subscription_id FROM used WHERE subscription_id IS NOT NULL);",
		q.used(), q.inventory(), q.existed(), active(date(known[len(known)-1])))
}

func (q *query) activeAtEnd() string {
	return fmt.Sprintf("WITH %s\nSELECT count(*) FROM subscriptions\nWHERE %s;", q.inventory(), active(date(q.in.Inputs.Period.To)))
}

// deprovisioned counts what became suspended or deprovisioned: on the day that
// the source states, else where two snapshots differ.
func (q *query) deprovisioned() string {
	from, to := q.period()
	return fmt.Sprintf("WITH %s,\n%s\nSELECT count(*) FROM endings WHERE day BETWEEN %s AND %s;", q.inventory(), endings(), from, to)
}

// churnByDate counts, for each day, what is active on it and what ended.
func (q *query) churnByDate() string {
	from, to := q.period()
	return fmt.Sprintf(`WITH %s,
%s,
days AS (SELECT CAST(unnest(generate_series(%s, %s, INTERVAL 1 DAY)) AS DATE) AS date),
active AS (SELECT date FROM days, subscriptions WHERE %s)
SELECT date, (SELECT count(*) FROM active a WHERE a.date = d.date) AS active, (SELECT count(*) FROM endings e WHERE e.day = d.date) AS deprovisioned
FROM days d ORDER BY date;`, q.inventory(), endings(), from, to, active("days.date"))
}

// endings has the day of each suspension or deprovisioning.
func endings() string {
	return fmt.Sprintf(`moves AS (SELECT subscription_id, snapshot_date AS day, status IN %[1]s AS closed,
    lag(status IN %[1]s) OVER (PARTITION BY subscription_id ORDER BY snapshot_date) AS closed_before FROM seen),
endings AS (
  SELECT ended AS day FROM subscriptions WHERE stated
  UNION ALL SELECT m.day FROM moves m JOIN subscriptions s USING (subscription_id) WHERE NOT s.stated AND m.closed AND NOT m.closed_before
  UNION ALL SELECT vanished FROM subscriptions WHERE NOT stated AND NOT closed AND vanished IS NOT NULL)`, ended)
}

// renewed counts plans: those with a renewal date in the period, and those whose
// commitment end moved later between two snapshots, booked on the second, unless
// a renewal date explains it. A subscription without a plan is its own.
func (q *query) renewed() string {
	from, to := q.period()
	return fmt.Sprintf(`WITH %[1]s,
terms AS (SELECT subscription_id, snapshot_date AS day, commitment_end,
    lag(snapshot_date) OVER w AS before, lag(commitment_end IGNORE NULLS) OVER w AS earlier
  FROM seen WINDOW w AS (PARTITION BY subscription_id ORDER BY snapshot_date)),
renewals AS (
  SELECT plan_id, subscription_id FROM subscriptions WHERE renewed_at BETWEEN %[2]s AND %[3]s
  UNION ALL SELECT s.plan_id, s.subscription_id FROM terms t JOIN subscriptions s USING (subscription_id)
    WHERE t.commitment_end > t.earlier AND t.day BETWEEN %[2]s AND %[3]s
      AND NOT coalesce(s.renewed_at BETWEEN t.before AND t.day, false))
SELECT count(DISTINCT coalesce('plan ' || plan_id, 'subscription ' || subscription_id)) FROM renewals;`, q.inventory(), from, to)
}

// top ranks customers by cost per category and currency, by the quantity of usage
// per category and unit where no row of the category has a cost, and by cost over
// all categories: in USD alone where the report could do that.
func (q *query) top() string {
	cost, currency := "cost", "currency"
	if q.inUSD() {
		cost, currency = "cost_usd", "'USD'"
	}
	return fmt.Sprintf(`WITH daily AS (SELECT * FROM %s),
names AS (SELECT customer_id, name FROM (SELECT * FROM %s) QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY snapshot_date DESC) = 1),
charged AS (SELECT * FROM daily WHERE charge_category <> 'tax'),
amounts AS (
  SELECT NULL AS category, customer_id, %s AS currency, NULL AS unit, sum(%s) AS amount FROM charged GROUP BY ALL
  UNION ALL SELECT category, customer_id, currency, NULL, sum(cost) FROM charged GROUP BY ALL
  UNION ALL SELECT category, customer_id, NULL, coalesce(unit, ''), sum(quantity) FROM daily
    WHERE charge_category = 'usage' AND category NOT IN (SELECT category FROM charged WHERE cost IS NOT NULL) GROUP BY ALL),
ranked AS (
  SELECT a.*, row_number() OVER (PARTITION BY category, currency, unit ORDER BY amount DESC, coalesce(name, customer_id), customer_id) AS rank
  FROM amounts a LEFT JOIN names USING (customer_id) WHERE amount IS NOT NULL)
SELECT category, rank, customer_id, currency, CASE WHEN unit IS NULL THEN amount END AS cost,
  CASE WHEN unit IS NOT NULL THEN amount END AS quantity, nullif(unit, '') AS unit
FROM ranked WHERE rank <= 5 ORDER BY category NULLS FIRST, currency, unit, rank;`, q.read(q.usage), q.read(q.named), currency, cost)
}

// inUSD reports whether the ranking over all categories is in USD although there
// are several currencies.
func (q *query) inUSD() bool {
	all, each := map[string]bool{}, map[string]bool{}
	for _, t := range q.doc.TopCustomers {
		switch {
		case t.TopCost == nil || t.Currency == nil:
		case t.Category == nil:
			all[*t.Currency] = true
		default:
			each[*t.Currency] = true
		}
	}
	return len(each) > 1 && len(all) == 1
}

// stored has the scores that the report tells: as its model made them from its
// versions. Two runs may have stored the same.
func (q *query) stored() string {
	return fmt.Sprintf("stored AS (SELECT * FROM %s),\ntold AS (SELECT DISTINCT subscription_id, state, score, band FROM stored\n  WHERE model = %s AND versions = %s AND producer = %s)",
		q.read(q.scores), quoted(orEmpty(q.row.Model)), quoted(q.row.Versions), quoted(q.row.Producer))
}

func (q *query) atRisk() string {
	return "WITH " + q.stored() + "\nSELECT subscription_id, state, score, band FROM told ORDER BY score DESC NULLS LAST, subscription_id;"
}

func (q *query) atRiskHigh() string {
	return "WITH " + q.stored() + "\nSELECT count(*) FROM told WHERE band = 'High';"
}
