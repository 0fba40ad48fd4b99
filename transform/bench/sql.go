package main

import (
	"fmt"
	"strings"

	"tidemark/data"
)

// sqlShape is one way to write the whole job in SQL: what is staged first, and
// for each result a query. All give the same rows.
type sqlShape struct {
	name   string
	stages []string
	// The relations that the results are read from. Each has the columns of
	// its key, v and p (sums of cost of the period and of the one before, but for
	// tax) and nv and np (their rows).
	currencies, categories, customers, ranked string
	quantities                                string // category, unit, customer_id and the like of quantities of usage
	days                                      string // usage_date, currency, v
	counts                                    string // customers, customers before, subscriptions, subscriptions before
}

// measures are the columns of a relation that is read from single rows.
const measures = `sum(cost) FILTER (now) v, sum(cost) FILTER (NOT now) p, count(*) FILTER (now) nv, count(*) FILTER (NOT now) np`

// merged are the columns of one that is read from a stage.
const merged = `sum(cost) FILTER (now) v, sum(cost) FILTER (NOT now) p, coalesce(sum(n) FILTER (now), 0) nv, coalesce(sum(n) FILTER (NOT now), 0) np`

const quantityMeasures = `sum(quantity) FILTER (now) v, sum(quantity) FILTER (NOT now) p, count(*) FILTER (now) nv, count(*) FILTER (NOT now) np`

const quantityMerged = `sum(quantity) FILTER (now) v, sum(quantity) FILTER (NOT now) p, coalesce(sum(qn) FILTER (now), 0) nv, coalesce(sum(qn) FILTER (NOT now), 0) np`

// staged are the sums of a stage.
const staged = `sum(cost) FILTER (charge_category <> 'tax') AS cost, count(*) FILTER (charge_category <> 'tax') n,
	sum(quantity) FILTER (charge_category = 'usage') AS quantity, count(*) FILTER (charge_category = 'usage') qn,
	coalesce(bool_or(charge_category = 'usage' AND quantity > 0), false) used`

const daysByScan = `SELECT usage_date, currency, sum(cost) v FROM usage WHERE charge_category <> 'tax' GROUP BY ALL`

func countsOf(from string) string {
	return `SELECT count(DISTINCT customer_id) FILTER (now), count(DISTINCT customer_id) FILTER (NOT now),
		count(DISTINCT subscription_id) FILTER (now), count(DISTINCT subscription_id) FILTER (NOT now) FROM ` + from
}

// sqlShapes returns the shapes that are tried.
func sqlShapes() []sqlShape {
	return []sqlShape{
		plainShape(),
		stagedShape("staged", `CREATE TEMP TABLE stage AS SELECT now, customer_id, subscription_id, category, unit, currency, `+staged+` FROM usage GROUP BY ALL`,
			daysByScan, countsOf("stage WHERE used")),
		stagedShape("lean", `CREATE TEMP TABLE stage AS SELECT now, customer_id, category, unit, currency, `+staged+` FROM usage GROUP BY ALL`,
			daysByScan, `SELECT (SELECT count(DISTINCT customer_id) FROM stage WHERE used AND now), (SELECT count(DISTINCT customer_id) FROM stage WHERE used AND NOT now), s.* FROM (
				SELECT count(DISTINCT subscription_id) FILTER (now), count(DISTINCT subscription_id) FILTER (NOT now) FROM usage WHERE charge_category = 'usage' AND quantity > 0) s`),
		groupingSetsShape(),
	}
}

// plainShape has one query a result, each over all rows.
func plainShape() sqlShape {
	cost := func(key string) string {
		return `SELECT ` + key + `, ` + measures + ` FROM usage WHERE charge_category <> 'tax' GROUP BY ALL`
	}
	return sqlShape{name: "plain",
		currencies: cost("currency"), categories: cost("category, currency"), customers: cost("customer_id, currency"),
		ranked:     cost("category, currency, customer_id"),
		quantities: `SELECT category, unit, customer_id, ` + quantityMeasures + ` FROM usage WHERE charge_category = 'usage' GROUP BY ALL`,
		days:       daysByScan, counts: countsOf("usage WHERE charge_category = 'usage' AND quantity > 0")}
}

// stagedShape scans once into a table of groups, of which the results are made.
func stagedShape(name, stage, days, counts string) sqlShape {
	cost := func(key string) string {
		return `SELECT ` + key + `, ` + merged + ` FROM stage WHERE n > 0 GROUP BY ALL`
	}
	return sqlShape{name: name, stages: []string{stage},
		currencies: cost("currency"), categories: cost("category, currency"), customers: cost("customer_id, currency"),
		ranked:     cost("category, currency, customer_id"),
		quantities: `SELECT category, unit, customer_id, ` + quantityMerged + ` FROM stage WHERE qn > 0 GROUP BY ALL`,
		days:       days, counts: counts}
}

// groupingSetsShape groups by everything in one scan.
func groupingSetsShape() sqlShape {
	const stage = `CREATE TEMP TABLE stage AS SELECT grouping(usage_date, customer_id, subscription_id, category, unit, currency) g,
		now, usage_date, customer_id, subscription_id, category, unit, currency, ` + staged + ` FROM usage
		GROUP BY GROUPING SETS ((now, customer_id, category, currency), (now, customer_id, category, unit), (now, usage_date, currency), (now, customer_id), (now, subscription_id))`
	// A bit of g is set for each column that a set does not have.
	const ranking, quantities, days, customers, subscriptions = 0b101010, 0b101001, 0b011110, 0b101111, 0b110111
	cost := func(key string) string {
		return fmt.Sprintf(`SELECT %s, %s FROM stage WHERE g = %d AND n > 0 GROUP BY ALL`, key, merged, ranking)
	}
	used := func(g int, column, when string) string {
		return fmt.Sprintf(`(SELECT count(DISTINCT %s) FROM stage WHERE g = %d AND used AND %s)`, column, g, when)
	}
	return sqlShape{name: "grouping sets", stages: []string{stage},
		currencies: cost("currency"), categories: cost("category, currency"), customers: cost("customer_id, currency"),
		ranked:     cost("category, currency, customer_id"),
		quantities: fmt.Sprintf(`SELECT category, unit, customer_id, %s FROM stage WHERE g = %d AND qn > 0 GROUP BY ALL`, quantityMerged, quantities),
		days:       fmt.Sprintf(`SELECT usage_date, currency, cost v FROM stage WHERE g = %d AND n > 0`, days),
		counts: `SELECT ` + strings.Join([]string{used(customers, "customer_id", "now"), used(customers, "customer_id", "NOT now"),
			used(subscriptions, "subscription_id", "now"), used(subscriptions, "subscription_id", "NOT now")}, ", ")}
}

// macros say what a result shows: 0 where there is no row, but only of something
// whose amount is known on the other side; else null where no row states one.
const macros = `CREATE MACRO shown(amount, rows, other) AS
	CAST(CASE WHEN rows = 0 AND other IS NOT NULL THEN 0 ELSE amount END AS DECIMAL(38, 18))`

const bothSides = `shown(v, nv, p), shown(p, np, v)`

// queries returns the query of each result for a period whose days are all known.
func (s sqlShape) queries(p data.Period) map[result]string {
	before := p.Previous()
	return map[result]string{
		costs:      `SELECT currency, ` + bothSides + ` FROM (` + s.currencies + `) WHERE v IS NOT NULL OR p IS NOT NULL`,
		categories: `SELECT category, currency, ` + bothSides + ` FROM (` + s.categories + `)`,
		customers:  `SELECT customer_id, currency, ` + bothSides + ` FROM (` + s.customers + `) WHERE v IS NOT NULL OR p IS NOT NULL`,
		days: fmt.Sprintf(`WITH sums AS MATERIALIZED (%s),
			wanted AS (SELECT DISTINCT currency FROM sums WHERE v IS NOT NULL AND usage_date BETWEEN DATE '%s' AND DATE '%s'),
			known AS (SELECT CAST(unnest(range(DATE '%s', DATE '%s', INTERVAL 1 DAY)) AS DATE) d)
			SELECT d, w.currency, CAST(coalesce(a.v, 0) AS DECIMAL(38, 18)),
				CASE WHEN d - %d <= DATE '%s' THEN CAST(coalesce(b.v, 0) AS DECIMAL(38, 18)) END
			FROM known CROSS JOIN wanted w LEFT JOIN sums a ON a.usage_date = d AND a.currency = w.currency
			LEFT JOIN sums b ON b.usage_date = d - %[6]d AND b.currency = w.currency`,
			s.days, p.From, p.To, p.From, p.To+1, int(p.From-before.From), before.To),
		top:    s.top(),
		counts: s.counts,
	}
}

// top ranks by cost in each category and over all, and by quantity where no row
// of a category has a cost. In the sets here not every cost is known in USD, so
// that the ranking over all is one for each currency.
func (s sqlShape) top() string {
	const five = ` QUALIFY place <= 5`
	return `WITH ranked AS MATERIALIZED (` + s.ranked + `),
		costly AS (SELECT DISTINCT category FROM ranked WHERE v IS NOT NULL),
		totals AS (SELECT customer_id, currency, sum(v) v, sum(p) p, sum(nv) nv, sum(np) np FROM ranked GROUP BY ALL)
		SELECT category, row_number() OVER (PARTITION BY category, currency ORDER BY v DESC, customer_id) place, customer_id, currency,
			CAST(v AS DECIMAL(38, 18)) AS cost, shown(p, np, v) AS previous, NULL AS quantity, NULL AS unit
			FROM ranked WHERE v IS NOT NULL` + five + `
		UNION ALL
		SELECT NULL, row_number() OVER (PARTITION BY currency ORDER BY v DESC, customer_id) place, customer_id, currency,
			CAST(v AS DECIMAL(38, 18)), shown(p, np, v), NULL, NULL
			FROM totals WHERE v IS NOT NULL` + five + `
		UNION ALL
		SELECT category, row_number() OVER (PARTITION BY category, unit ORDER BY v DESC, customer_id) place, customer_id, NULL,
			NULL, shown(p, np, v), CAST(v AS DECIMAL(38, 18)), unit
			FROM (` + s.quantities + `) WHERE v IS NOT NULL AND category NOT IN (FROM costly)` + five
}
