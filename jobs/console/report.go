package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
	"tidemark/reports/chart"
	"tidemark/templates"
)

type reportDaysPage struct {
	meta
	Days []reportDay
	Next string
}

type reportDay struct{ Day, Reports string }

// reportDays lists the days on which reports were archived, the newest first.
func (c *Console) reportDays(r *http.Request) (page, error) {
	p := reportDaysPage{meta: meta{"reportdays", "Reports", "reports"}}
	v, err := c.view(r.Context())
	if err != nil || v == nil {
		return p, err
	}
	before := data.Day(1 << 30)
	if after := r.FormValue("after"); after != "" {
		if before, err = data.ParseDay(after); err != nil {
			return nil, errQuestion
		}
	}
	rows := map[data.Day]int64{}
	for _, part := range v.Parts(archive.Reports) {
		rows[part.Day] += part.Rows
	}
	var days []data.Day
	for d, n := range rows {
		if d < before && n > 0 {
			days = append(days, d)
		}
	}
	slices.Sort(days)
	slices.Reverse(days)
	if len(days) > pageRows {
		days = days[:pageRows]
		p.Next = next(r, days[pageRows-1].String())
	}
	for _, d := range days {
		p.Days = append(p.Days, reportDay{d.String(), count(rows[d])})
	}
	return p, nil
}

type reportsPage struct {
	meta
	Day  string
	Rows []reportRow
	Next string
}

// reportRow is what is listed of a report.
type reportRow struct {
	ID, Role, Recipient, From, To, Edition, MessageID string
}

// reports lists the reports of one day.
func (c *Console) reports(r *http.Request) (page, error) {
	day, err := data.ParseDay(r.PathValue("day"))
	if err != nil {
		return nil, errNotFound
	}
	v, err := c.view(r.Context())
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNotFound
	}
	var all []reportRow
	err = c.scan(r.Context(), v, day, []string{"report_id", "role", "recipient", "period_from", "period_to", "edition", "message_id"}, func(value func(string) string) bool {
		all = append(all, reportRow{value("report_id"), value("role"), value("recipient"), value("period_from"), value("period_to"), value("edition"), value("message_id")})
		return true
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errNotFound
	}
	slices.SortFunc(all, func(a, b reportRow) int { return strings.Compare(a.key(), b.key()) })
	p := reportsPage{meta: meta{"reports", "Reports of " + day.String(), "reports"}, Day: day.String()}
	if after := r.FormValue("after"); after != "" {
		all = slices.DeleteFunc(all, func(row reportRow) bool { return row.key() <= after })
	}
	if len(all) > pageRows {
		all = all[:pageRows]
		p.Next = next(r, all[pageRows-1].key())
	}
	for _, row := range all {
		row.Recipient, row.Role = note(row.Recipient), note(row.Role)
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

// key orders the reports of a day, and tells them apart.
func (r reportRow) key() string { return r.Role + " " + r.Recipient + " " + r.MessageID + " " + r.ID }

// report shows the interactive page of an archived report, as it was. It runs the
// scripts of that page, by their hashes, in a sandbox: it has no origin, so it can
// ask nothing of this or any other server.
func (c *Console) report(w http.ResponseWriter, r *http.Request) {
	made, err := c.reportPage(r)
	if err != nil {
		p, status := c.failed(r, err)
		c.write(w, r, status, p)
		return
	}
	h := w.Header()
	script, _ := templates.ChartScript()
	h.Set("Content-Security-Policy", chart.Policy(script)+"; frame-ancestors 'none'; sandbox allow-scripts")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(made) // the reader may have gone
}

func (c *Console) reportPage(r *http.Request) ([]byte, error) {
	ctx, id := r.Context(), r.PathValue("id")
	day, err := data.ParseDay(r.PathValue("day"))
	if err != nil {
		return nil, errNotFound
	}
	select { // a day of reports is many megabytes: one at a time
	case c.reading <- struct{}{}:
		defer func() { <-c.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	v, err := c.view(ctx)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNotFound
	}
	text := ""
	// A mail that is stored after midnight was built before it.
	for _, d := range []data.Day{day, day - 1} {
		err := c.scan(ctx, v, d, []string{"report_id", "digest"}, func(value func(string) string) bool {
			if value("report_id") == id {
				text = value("digest")
			}
			return text == ""
		})
		if err != nil {
			return nil, err
		}
		if text != "" {
			break
		}
	}
	if text == "" {
		return nil, errNotFound
	}
	var digest reports.Digest
	if err := json.Unmarshal([]byte(text), &digest); err != nil {
		return nil, fmt.Errorf("read report %s: %w", id, err)
	}
	return reports.RenderPage(digest)
}

// scan reads columns of the reports of one day, row by row, until row says no.
func (c *Console) scan(ctx context.Context, v *archive.View, day data.Day, columns []string, row func(value func(string) string) bool) error {
	for rec, err := range v.Scan(ctx, archive.Reports, data.Period{From: day, To: day}, columns...) {
		if err != nil {
			return err
		}
		at := map[string]arrow.Array{}
		for i, f := range rec.Schema().Fields() {
			at[f.Name] = rec.Column(i)
		}
		for i := range int(rec.NumRows()) {
			if !row(func(name string) string { return strings.Clone(at[name].ValueStr(i)) }) {
				return nil
			}
		}
	}
	return nil
}
