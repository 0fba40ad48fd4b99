package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// The days of the archives here: a period of three days and the one before it.
func testPeriod() data.Period {
	from, _ := data.ParseDay("2026-11-06")
	return data.Period{From: from, To: from + 2}
}

// hostile are texts that break what takes them for more than a text.
func hostile() []string {
	return []string{"plain", "a,b", `say "hi"`, "=1+1", "<script>alert(1)</script>", "line\nbreak", "'; drop table usage; --",
		"tab\there", " ", "ünïcode", "\u202egnihton", "😀", "null", "nul\x00byte", "usage_date=2026-11-06", "%2f../.."}
}

// drawAmount draws amounts that are unknown, small, or exact to the last place,
// and, where they are extreme, some of them close to the largest.
func drawAmount(extreme bool) *rapid.Generator[*data.Decimal] {
	return rapid.Custom(func(t *rapid.T) *data.Decimal {
		text := "0"
		switch kind := rapid.IntRange(0, 9).Draw(t, "kind of amount"); {
		case kind == 0:
			return nil
		case kind == 1:
			text = rapid.SampledFrom([]string{"0", "0.000000000000000001", "-0.000000000000000001"}).Draw(t, "amount")
		case kind < 4 && extreme:
			text = rapid.SampledFrom([]string{"99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999",
				"49999999999999999999.5", "-49999999999999999999.5"}).Draw(t, "amount")
		default:
			text = fmt.Sprintf("%d.%018d", rapid.IntRange(-1000, 1000).Draw(t, "whole"), rapid.Int64Range(0, 999_999_999_999_999_999).Draw(t, "fraction"))
		}
		d, _, err := data.ParseDecimal(text)
		if err != nil {
			t.Fatal(err)
		}
		return &d
	})
}

// drawRow draws a row of one of the days; inUSD says that each cost is known in USD, too.
func drawRow(days data.Period, extreme, inUSD bool) *rapid.Generator[data.Usage] {
	texts := rapid.SampledFrom(hostile())
	maybe := func(t *rapid.T, label string) *string {
		if rapid.IntRange(0, 4).Draw(t, "no "+label) == 0 {
			return nil
		}
		return new(texts.Draw(t, label))
	}
	return rapid.Custom(func(t *rapid.T) data.Usage {
		u := data.Usage{
			Day:        data.Day(rapid.Int32Range(int32(days.From), int32(days.To)).Draw(t, "day")),
			CustomerID: data.CustomerID(texts.Draw(t, "customer")),
			Category:   rapid.SampledFrom([]string{"", "Storage", "<b>"}).Draw(t, "category"),
			Unit:       maybe(t, "unit"), Service: maybe(t, "service"), MeterID: maybe(t, "meter"),
			Currency: rapid.SampledFrom([]string{"EUR", "JPY", "USD"}).Draw(t, "currency"),
			ChargeCategory: rapid.SampledFrom([]data.ChargeCategory{data.ChargeUsage, data.ChargeUsage, data.ChargeUsage,
				data.ChargePurchase, data.ChargeCredit, data.ChargeTax, data.ChargeAdjustment}).Draw(t, "charge"),
			BillingPeriod: rapid.SampledFrom([]*string{nil, new("2026-10"), new("2026-11")}).Draw(t, "billing period"),
			Quantity:      drawAmount(extreme).Draw(t, "quantity"), Cost: drawAmount(extreme).Draw(t, "cost"), EffectiveCost: drawAmount(extreme).Draw(t, "effective cost"),
		}
		if s := maybe(t, "subscription"); s != nil {
			u.SubscriptionID = new(data.SubscriptionID(*s))
		}
		if inUSD || rapid.Bool().Draw(t, "in USD") {
			u.CostUSD = drawAmount(extreme).Draw(t, "cost in USD")
		}
		if inUSD && u.CostUSD == nil {
			u.Cost = nil
		}
		return u
	})
}

// testArchive is an archive in a folder.
type testArchive struct {
	*archive.Archive
	folder string
	at     time.Time
	runs   int
}

func newTestArchive(folder string) (*testArchive, error) {
	a := &testArchive{folder: filepath.Join(folder, "archive"), at: time.Date(2026, 11, 20, 2, 30, 0, 0, time.UTC)}
	arc, err := archive.Open(context.Background(), archive.NewDir(a.folder), archive.Options{Producer: "test", TempDir: folder, Now: func() time.Time {
		a.at = a.at.Add(time.Minute)
		return a.at
	}})
	a.Archive = arc
	return a, err
}

// deliver commits rows as what there is of some days, in place of what was.
func (a *testArchive) deliver(days data.Period, rows []data.Usage) error {
	ctx := context.Background()
	a.runs++
	run, err := a.Begin(ctx, archive.RunInfo{ID: fmt.Sprintf("run%d", a.runs), Job: "extract", Source: "tables", Started: a.at})
	if err != nil {
		return err
	}
	err = deliver(ctx, run, days, rows)
	return errors.Join(err, run.Abort())
}

func deliver(ctx context.Context, run *archive.Run, days data.Period, rows []data.Usage) error {
	for _, u := range rows {
		if err := run.AddUsage(u, archive.Feed{Source: "tables", Currency: u.Currency}); err != nil {
			return err
		}
	}
	if _, err := run.CommitUsage(ctx, archive.Delivery{Source: "tables", Days: days}); err != nil {
		return err
	}
	if _, err := run.Rollup(ctx, func(_ context.Context, _ archive.Part, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
		return transform.Rollup(memory.DefaultAllocator, batches)
	}); err != nil {
		return err
	}
	_, err := run.Finish(ctx)
	return err
}

// mayRefuse says whether a delivery of these rows may be refused because a sum
// does not fit: the archive adds a file's amounts up row by row, so what is too
// large may be but a part of a sum.
func mayRefuse(rows []data.Usage) bool {
	magnitudes := map[string]*big.Int{}
	for _, u := range rows {
		for name, d := range map[string]*data.Decimal{"quantity": u.Quantity, "cost": u.Cost, "effective": u.EffectiveCost, "usd": u.CostUSD} {
			if d == nil {
				continue
			}
			key := fmt.Sprintf("%d %s %s %s", u.Day, u.Currency, text(u.BillingPeriod), name)
			if magnitudes[key] == nil {
				magnitudes[key] = new(big.Int)
			}
			magnitudes[key].Add(magnitudes[key], new(big.Int).Abs(unscaledOf(*d)))
		}
	}
	return slices.ContainsFunc(slices.Collect(maps.Values(magnitudes)), tooLarge)
}

func text[T ~string](s *T) string {
	if s == nil {
		return "none"
	}
	return "some " + string(*s)
}

func unscaledOf(d data.Decimal) *big.Int {
	n, _ := new(big.Int).SetString(strings.Replace(places(d), ".", "", 1), 10)
	return n
}

func tooLarge(n *big.Int) bool {
	return n.CmpAbs(new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)) >= 0
}

// activeFiles reads the log of the usage table by the words of the Delta protocol.
func (a *testArchive) activeFiles() ([]string, error) {
	table := filepath.Join(a.folder, string(archive.UsageTable))
	active := map[string]bool{}
	for version := 0; ; version++ {
		f, err := os.Open(filepath.Join(table, "_delta_log", fmt.Sprintf("%020d.json", version)))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			var action struct{ Add, Remove *struct{ Path string } }
			if err := json.Unmarshal(lines.Bytes(), &action); err != nil {
				return nil, err
			}
			switch {
			case action.Add != nil:
				active[filepath.Join(table, action.Add.Path)] = true
			case action.Remove != nil:
				delete(active, filepath.Join(table, action.Remove.Path))
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(active)), nil
}

// exactly are macros for sums that nothing overflows: an amount is two integers,
// of 10^19 units of 10^-18 and of the rest, which compare like the amount.
const exactly = `
CREATE MACRO units(amount) AS CAST(replace(CAST(amount AS VARCHAR), '.', '') AS HUGEINT);
CREATE MACRO high(u) AS sum(u // 10000000000000000000::HUGEINT);
CREATE MACRO low(u) AS sum(u % 10000000000000000000::HUGEINT);
CREATE MACRO rest(l) AS (l % 10000000000000000000::HUGEINT + 10000000000000000000::HUGEINT) % 10000000000000000000::HUGEINT;
CREATE MACRO total(u) AS CASE WHEN count(u) > 0 THEN
	{'h': high(u) + (low(u) - rest(low(u))) // 10000000000000000000::HUGEINT, 'l': rest(low(u))} END;
CREATE MACRO shown(amount, rows, other) AS CASE WHEN rows = 0 AND other IS NOT NULL THEN '0 0' ELSE CAST(amount.h AS VARCHAR) || ' ' || CAST(amount.l AS VARCHAR) END;
CREATE MACRO plainly(amount) AS coalesce(CAST(amount.h AS VARCHAR) || ' ' || CAST(amount.l AS VARCHAR), '0 0');
`

// oracleQueries say what each table of metrics holds. Columns named after an
// amount hold its two integers.
func oracleQueries(p data.Period) map[result]string {
	sides := `total(c) FILTER_NOW v, total(c) FILTER_BEFORE p, count(*) FILTER (now) nv, count(*) FILTER (NOT now) np`
	of := func(column string) string {
		s := strings.ReplaceAll(sides, "total(c) FILTER_NOW", "total(CASE WHEN now THEN "+column+" END)")
		return strings.ReplaceAll(s, "total(c) FILTER_BEFORE", "total(CASE WHEN NOT now THEN "+column+" END)")
	}
	both := `shown(v, nv, p) AS amount, shown(p, np, v) AS amount_before`
	charged := `(SELECT *, units(cost) c, units(cost_usd) d FROM usage WHERE charge_category <> 'tax')`
	cost := func(key string) string {
		return `(SELECT ` + key + `, ` + of("c") + ` FROM ` + charged + ` GROUP BY ALL)`
	}
	before := p.Previous()
	return map[result]string{
		costs:      `SELECT currency, ` + both + ` FROM ` + cost("currency") + ` WHERE v IS NOT NULL OR p IS NOT NULL`,
		categories: `SELECT category, currency, ` + both + ` FROM ` + cost("category, currency"),
		customers:  `SELECT customer_id, currency, ` + both + ` FROM ` + cost("customer_id, currency") + ` WHERE v IS NOT NULL OR p IS NOT NULL`,
		days: fmt.Sprintf(`WITH sums AS (SELECT usage_date, currency, total(c) v FROM %s GROUP BY ALL)
			SELECT d, w.currency, plainly(a.v) AS amount, plainly(b.v) AS amount_before
			FROM (SELECT CAST(unnest(range(DATE '%s', DATE '%s', INTERVAL 1 DAY)) AS DATE) d)
			CROSS JOIN (SELECT DISTINCT currency FROM sums WHERE v IS NOT NULL AND usage_date >= DATE '%[2]s') w
			LEFT JOIN sums a ON a.usage_date = d AND a.currency = w.currency
			LEFT JOIN sums b ON b.usage_date = d - %[4]d AND b.currency = w.currency`, charged, p.From, p.To+1, int(p.From-before.From)),
		top: fmt.Sprintf(`WITH ranked AS (FROM %s), costly AS (SELECT DISTINCT category FROM ranked WHERE v IS NOT NULL),
			single AS (SELECT (SELECT count(DISTINCT currency) FROM ranked WHERE v IS NOT NULL) > 1
				AND NOT EXISTS (FROM %s WHERE cost IS NOT NULL AND cost_usd IS NULL) AS usd),
			totals AS (SELECT customer_id, CASE WHEN usd THEN 'USD' ELSE currency END AS currency, %s
				FROM (SELECT now, customer_id, currency, usd, CASE WHEN usd THEN d ELSE c END AS e FROM %s CROSS JOIN single) GROUP BY ALL)
			SELECT category, row_number() OVER (PARTITION BY category, currency ORDER BY v DESC, customer_id) place, customer_id, currency,
				shown(v, nv, p) AS amount, shown(p, np, v) AS amount_before, NULL AS amount_of_usage, NULL AS unit
				FROM ranked WHERE v IS NOT NULL QUALIFY place <= 5
			UNION ALL
			SELECT NULL, row_number() OVER (PARTITION BY currency ORDER BY v DESC, customer_id) place, customer_id, currency,
				shown(v, nv, p), shown(p, np, v), NULL, NULL FROM totals WHERE v IS NOT NULL QUALIFY place <= 5
			UNION ALL
			SELECT category, row_number() OVER (PARTITION BY category, unit ORDER BY v DESC, customer_id) place, customer_id, NULL,
				NULL, shown(p, np, v), shown(v, nv, p), unit
				FROM (SELECT category, unit, customer_id, %s FROM (SELECT *, units(quantity) q FROM usage WHERE charge_category = 'usage') GROUP BY ALL)
				WHERE v IS NOT NULL AND category NOT IN (FROM costly) QUALIFY place <= 5`,
			cost("category, currency, customer_id"), charged, of("e"), charged, of("q")),
		counts: countsOf("usage WHERE charge_category = 'usage' AND quantity > 0"),
	}
}

// oracle has DuckDB compute every result from the files that the log names.
// overflow says that one of the amounts does not fit.
func oracle(ctx context.Context, db *sql.DB, files []string, p data.Period) (lines map[result][]string, overflow bool, err error) {
	t := theirs{set: set{Encoding: realArchive, Shape: shape{From: p.Previous().From, Days: 2 * p.Days()}}}
	for _, path := range files {
		_, after, _ := strings.Cut(path, "usage_date=")
		day, err := data.ParseDay(after[:len("2006-01-02")])
		if err != nil {
			return nil, false, err
		}
		t.set.Files = append(t.set.Files, file{Path: path, Day: day})
	}
	if _, err := db.ExecContext(ctx, t.view(p)); err != nil {
		return nil, false, err
	}
	lines = map[result][]string{}
	for r, query := range oracleQueries(p) {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", r, err)
		}
		large := false
		if lines[r], large, err = linesOf(rows); err != nil {
			return nil, false, fmt.Errorf("%s: %w", r, err)
		}
		overflow = overflow || large
	}
	return lines, overflow, nil
}

func linesOf(rows *sql.Rows) (lines []string, overflow bool, err error) {
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, false, err
	}
	for rows.Next() {
		cells, to := make([]any, len(names)), make([]any, len(names))
		for i := range cells {
			to[i] = &cells[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, false, err
		}
		var line []string
		for i, v := range cells {
			switch v := v.(type) {
			case nil:
				line = append(line, "")
			case time.Time:
				line = append(line, v.Format(time.DateOnly))
			case string:
				if strings.HasPrefix(names[i], "amount") {
					n := joined(v)
					overflow = overflow || tooLarge(n)
					v = n.String()
				} else {
					v = fmt.Sprintf("%q", v)
				}
				line = append(line, v)
			default:
				line = append(line, fmt.Sprint(v))
			}
		}
		lines = append(lines, strings.Join(line, ","))
	}
	slices.Sort(lines)
	return lines, overflow, rows.Err()
}

// joined puts an amount together again.
func joined(text string) *big.Int {
	h, l, _ := strings.Cut(text, " ")
	n, _ := new(big.Int).SetString(h, 10)
	low, _ := new(big.Int).SetString(l, 10)
	n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(19), nil))
	return n.Add(n, low)
}

// tables are our results as lines like the oracle's.
func tables(t *transform.Tables) map[result][]string {
	lines := map[result][]string{}
	for r, rec := range map[result]arrow.Record{costs: t.Cost, categories: t.CostByCategory, customers: t.CostByCustomer, days: t.CostByDay, top: t.TopCustomers} {
		lines[r] = nil
		for i := range int(rec.NumRows()) {
			var line []string
			for _, c := range rec.Columns() {
				line = append(line, testCell(c, i))
			}
			lines[r] = append(lines[r], strings.Join(line, ","))
		}
		slices.Sort(lines[r])
	}
	for i := range int(t.Summary.NumRows()) {
		if textAt(t.Summary.Column(0), i) == "customers_with_usage" {
			lines[counts] = []string{fmt.Sprintf("%s,%s,%d,%d", testCell(t.Summary.Column(1), i), testCell(t.Summary.Column(2), i), t.UsedSubscriptions[0], t.UsedSubscriptions[1])}
		}
	}
	return lines
}

func testCell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return ""
	}
	switch a := a.(type) {
	case *array.Decimal128:
		return a.Value(i).BigInt().String()
	case *array.Dictionary, *array.String:
		return fmt.Sprintf("%q", textAt(a, i))
	}
	return cell(a, i)
}
