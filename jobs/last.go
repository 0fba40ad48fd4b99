package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/transform/churn"
)

// LastMails returns, by address, the last digest of a role that each person was
// sent about an earlier period: what the ledger says has left, with what the
// archive knows it said. Whoever was sent nothing, or before mails were recorded,
// is not in it.
func LastMails(ctx context.Context, l *ledger.Ledger, arc *archive.Archive, role reports.Role, period data.Period) (map[string]reports.LastMail, error) {
	sent, err := l.Deliveries(ctx, ledger.Query{Kind: kindDigest, Role: string(role), State: ledger.Sent, Limit: 1 << 20})
	if err != nil {
		return nil, err
	}
	newest := map[string]ledger.Delivery{} // by address
	for _, d := range sent {
		p, err := parseDeliveryPeriod(d.Period)
		if err != nil || p.To >= period.To {
			continue
		}
		if before, found := newest[d.Recipient]; !found || d.Updated.After(before.Updated) {
			newest[d.Recipient] = d
		}
	}
	byMessage := map[string]ledger.Delivery{}
	for _, d := range newest {
		byMessage[d.ID] = d
	}
	return recordedMails(ctx, arc, byMessage)
}

// MailedIn counts the digests that left in a period, and the recipients that got
// none with a reason, for each role in order.
func MailedIn(ctx context.Context, l *ledger.Ledger, period data.Period) ([]reports.Mailed, error) {
	count := map[reports.Role]*reports.Mailed{}
	of := func(role reports.Role) *reports.Mailed {
		if count[role] == nil {
			count[role] = &reports.Mailed{Role: role}
		}
		return count[role]
	}
	sent, err := l.Deliveries(ctx, ledger.Query{Kind: kindDigest, State: ledger.Sent, Limit: 1 << 20})
	if err != nil {
		return nil, err
	}
	for _, d := range sent {
		if period.Contains(data.DayOf(d.Updated.UTC())) {
			of(reports.Role(d.Role)).Sent++
		}
	}
	runs, err := l.Runs(ctx, "", 1<<20)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		var out SendResult
		if r.Finished != nil && period.Contains(data.DayOf(r.Finished.UTC())) && json.Unmarshal([]byte(r.Result), &out) == nil && out.Batch != nil {
			of(reports.Role(out.Batch.Role)).Skipped += len(out.Skipped)
		}
	}
	var all []reports.Mailed
	for _, role := range reports.Roles() {
		if count[role] != nil {
			all = append(all, *count[role])
		}
	}
	return all, nil
}

// recordedMails looks up what was said in mails.
func recordedMails(ctx context.Context, arc *archive.Archive, byMessage map[string]ledger.Delivery) (map[string]reports.LastMail, error) {
	last := map[string]reports.LastMail{}
	for row, err := range recordedRows(ctx, arc, byMessage) {
		if err != nil {
			return nil, err
		}
		d := byMessage[row.MessageID]
		if last[d.Recipient], err = lastMail(row, data.DayOf(d.Updated.UTC())); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// recordedRows yields what the archive has of mails that left.
func recordedRows(ctx context.Context, arc *archive.Archive, byMessage map[string]ledger.Delivery) iter.Seq2[data.Report, error] {
	return func(yield func(data.Report, error) bool) {
		if len(byMessage) == 0 {
			return
		}
		view, err := arc.View(ctx, nil)
		if err != nil {
			yield(data.Report{}, err)
			return
		}
		for _, day := range builtOn(byMessage) {
			for row, err := range view.ReportsIn(ctx, data.Period{From: day, To: day}) {
				d, wanted := byMessage[row.MessageID]
				if err == nil && (!wanted || row.EMLSHA256 != d.SHA256) {
					continue
				}
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// builtOn are the days on which mails may have been built, in order: that on which they
// were stored, or the one before. The archive has the reports of years.
func builtOn(mails map[string]ledger.Delivery) []data.Day {
	days := map[data.Day]bool{}
	for _, d := range mails {
		stored := data.DayOf(d.Created.UTC())
		days[stored-1], days[stored] = true, true
	}
	return slices.Sorted(maps.Keys(days))
}

// statedRisks are the risks that a recorded report stated.
func statedRisks(row data.Report) ([]reports.AtRisk, error) {
	var doc struct {
		AtRisk []reports.AtRisk `json:"at_risk"`
	}
	if err := json.Unmarshal([]byte(row.Document), &doc); err != nil {
		return nil, fmt.Errorf("read report %s: %w", row.ReportID, err)
	}
	return doc.AtRisk, nil
}

// lastMail is what a recorded report says as somebody's last.
func lastMail(row data.Report, sent data.Day) (reports.LastMail, error) {
	last := reports.LastMail{ReportID: row.ReportID, Sent: sent, Until: row.PeriodTo,
		Risk: map[data.SubscriptionID]reports.PreviousRisk{}, Scope: map[data.CustomerID]bool{},
		Counted: map[string]churn.Band{}}
	stated, err := statedRisks(row)
	if err != nil {
		return last, err
	}
	last.Bands = reports.Bands(stated)
	var scope []data.CustomerID
	if err := json.Unmarshal([]byte(row.Scope), &scope); err != nil {
		return last, fmt.Errorf("read scope of report %s: %w", row.ReportID, err)
	}
	for _, id := range scope {
		last.Scope[id] = true
	}
	for _, a := range stated {
		risk := reports.PreviousRisk{State: a.State, Score: a.Score}
		if a.Band != nil {
			risk.Band = *a.Band
		}
		last.Risk[a.SubscriptionID] = risk
	}
	var req request
	if err := json.Unmarshal([]byte(row.Request), &req); err != nil && row.Request != "" {
		return last, fmt.Errorf("read request of report %s: %w", row.ReportID, err)
	}
	if req.Answers != nil {
		for _, f := range req.Answers.Given {
			last.Counted[f.ID] = f.Stood.Band
		}
	}
	return last, nil
}

// parseDeliveryPeriod reads the period of a delivery's key.
func parseDeliveryPeriod(s string) (data.Period, error) {
	spec, err := data.ParsePeriod(s)
	if err != nil {
		return data.Period{}, err
	}
	return spec.Resolve(0, nil)
}
