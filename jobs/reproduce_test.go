package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/reports/mail"
)

// smallEstate has two agents with a customer each.
func smallEstate() estate {
	sub := func(id string, until int) []estateSub {
		return []estateSub{{id: id, name: "plan " + id, status: data.StatusActive, until: until, cents: 12345, currency: "EUR"}}
	}
	return estate{[]estateCustomer{
		{id: "kept", name: "Kept & Co", owner: "anna@partner.example", factor: 1, subs: sub("s-kept", estateDays)},
		{id: "lost", name: "Lost", owner: "anna@partner.example", factor: 3, subs: sub("s-lost", 30)},
	}}
}

// recorded archives an estate and records the mails of a role, as if mailed.
func recorded(t *testing.T, l *lab, e estate, role reports.Role) []Built {
	t.Helper()
	ctx := context.Background()
	window := e.window()
	spec, err := data.ParsePeriod(data.Period{From: window.To - 6, To: window.To}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(ctx, l.view(), Query{Period: spec, SettleDays: 2, Trend: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	d := e.mails(t, p, role)
	d.Edition = l.runs
	rec := l.recorder().Begin(d)
	var all []Built
	for b, err := range d.Build(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.Add(ctx, b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	if err := errors.Join(rec.Finish(ctx), rec.Abort()); err != nil {
		t.Fatal(err)
	}
	return all
}

func (l *lab) recorder() Recorder {
	l.runs++
	return Recorder{Archive: l.arc, Run: archive.RunInfo{ID: "digest" + string(rune('a'+l.runs)), Job: "weekly", Started: l.now},
		Config: []byte("partner: {}\n"), SettleDays: 2, Slot: new(time.Date(2026, 11, 16, 6, 0, 0, 0, time.UTC)), Producer: "test"}
}

func (l *lab) reports() []data.Report {
	l.t.Helper()
	var all []data.Report
	for row, err := range l.view().Reports(context.Background()) {
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, row)
	}
	return all
}

func TestReproduce_TheSameMailAlsoAfterRestatements(t *testing.T) {
	for _, role := range []reports.Role{reports.SalesAgent, reports.UserAdmin} {
		e := smallEstate()
		l := e.archived(t)
		built := recorded(t, l, e, role)
		// A customer more, and every cost doubled: the report must not care.
		e.customers = append(e.customers, estateCustomer{id: "new", name: "New", owner: "anna@partner.example", factor: 1, subs: e.customers[0].subs})
		e.customers[2].subs = []estateSub{{id: "s-new", name: "n", status: data.StatusActive, until: estateDays, cents: 1, currency: "EUR"}}
		for i := range e.customers {
			e.customers[i].factor *= 2
		}
		window, s := e.window(), e.source()
		if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: window.To, Days: &window}); err != nil {
			t.Fatal(err)
		}
		rows := l.reports()
		if len(rows) != len(built) {
			t.Fatalf("%s: %d reports recorded, want %d", role, len(rows), len(built))
		}
		for i, row := range rows {
			for _, given := range [][]byte{nil, built[i].EML, bytes.ReplaceAll(built[i].EML, []byte("\r\n"), []byte("\n"))} {
				r, err := Reproduce(context.Background(), l.arc, row, given, Maker{Producer: "test"})
				if err != nil || !r.OK() {
					t.Errorf("%s %s: %+v, %v", role, row.Recipient, r, err)
				}
			}
		}
	}
}

func TestReproduce_SaysWhatIsNotTheSame(t *testing.T) {
	e := smallEstate()
	l := e.archived(t)
	built := recorded(t, l, e, reports.SalesAgent)[0]
	row := l.reports()[0]
	ask := func(row data.Report, given []byte, producer string) Reproduction {
		t.Helper()
		r, err := Reproduce(context.Background(), l.arc, row, given, Maker{Producer: producer})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := ask(row, append([]byte("Received: from a\r\n\tby b\r\nDKIM-Signature: x\r\n"), built.EML...), "test")
	if !r.Sealed.OK || !strings.Contains(r.Sealed.Text, "given DKIM-Signature, Received") {
		t.Errorf("headers of the way: %+v", r.Sealed)
	}
	for _, second := range []string{"Subject: All is well", "from: Chair <chair@partner.example>"} {
		r := ask(row, append([]byte(second+"\r\n"), built.EML...), "test")
		name, _, _ := strings.Cut(second, ":")
		if want := []string{"a second header " + name + " was put in"}; r.Sealed.OK || r.OK() || !cmp.Equal(r.Sealed.Differences, want) {
			t.Errorf("a second %s: %+v, want %q", name, r.Sealed, want)
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"header Date": func(b []byte) []byte { return bytes.Replace(b, []byte("Date: Mon"), []byte("Date: Tue"), 1) },
		"the body":    func(b []byte) []byte { return append(b[:len(b)-20:len(b)-20], "x\r\n"...) },
	} {
		if r := ask(row, change(bytes.Clone(built.EML)), "test"); r.Sealed.OK || len(r.Sealed.Differences) != 1 || !strings.HasPrefix(r.Sealed.Differences[0], name) {
			t.Errorf("changed %s: %+v", name, r.Sealed)
		}
	}
	other := row
	other.Document = strings.Replace(row.Document, `"customers_with_usage":{"value":1`, `"customers_with_usage":{"value":2`, 1)
	if r := ask(other, nil, "test"); r.Numbers.OK || !cmp.Equal(r.Numbers.Differences, []string{"/customers_with_usage/value: mailed 2, now 1"}) {
		t.Errorf("a number that differs: %+v\n%s", r.Numbers, row.Document)
	}
	other = row
	other.Request = strings.Replace(row.Request, "Polder Cloud", "Polder Clown", 1)
	if r := ask(other, nil, "test"); !r.Numbers.OK || r.Rendering.OK || r.OK() || len(r.Rendering.Differences) == 0 {
		t.Errorf("rendered otherwise by the same version: %+v", r.Rendering)
	}
	other.Producer = "test 0.9"
	if r := ask(other, nil, "test"); r.Rendering.OK || !r.OK() || !strings.Contains(r.Rendering.Text, "built by test 0.9, this is test") {
		t.Errorf("rendered otherwise by another version: %+v", r.Rendering)
	}
	other = row
	other.EMLSHA256 = strings.Repeat("0", 64)
	if r := ask(other, nil, "test"); r.Sealed.OK || r.Rendering.OK || !r.Numbers.OK {
		t.Errorf("no sealed bytes: %+v", r)
	}
	other = row
	other.Seal = "0000000000000000"
	if r := ask(other, nil, "test"); r.Numbers.OK || !strings.Contains(r.Numbers.Text, "seal") {
		t.Errorf("another seal: %+v", r.Numbers)
	}
}

// TestExplain_GivesTheMailedValueAndTheRecomputedBesideIt has a report whose
// numbers are not those that its versions give.
func TestExplain_GivesTheMailedValueAndTheRecomputedBesideIt(t *testing.T) {
	e := smallEstate()
	l := e.archived(t)
	recorded(t, l, e, reports.SalesAgent)
	row := l.reports()[0]
	ask := func(row data.Report, metric string) Explanation {
		t.Helper()
		out, err := Explain(t.Context(), l.arc, row, metric)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := ask(row, "customers_with_usage"); !cmp.Equal(out.Result, [][]string{{"1"}}) || out.Again != nil {
		t.Errorf("explained %v, recomputed %v", out.Result, out.Again)
	}
	for _, metric := range Explained() {
		if out := ask(row, metric); out.Again != nil || out.Reason == nil && (out.Query == "" || len(out.Tables) == 0) {
			t.Errorf("%s: recomputed %v beside %v, from %v by %q", metric, out.Again, out.Result, out.Tables, out.Query)
		}
	}
	row.Document = strings.Replace(row.Document, `"customers_with_usage":{"value":1`, `"customers_with_usage":{"value":2`, 1)
	if out := ask(row, "customers_with_usage"); !cmp.Equal(out.Result, [][]string{{"2"}}) || !cmp.Equal(out.Again, [][]string{{"1"}}) {
		t.Errorf("explained %v, recomputed %v, want 2 and 1", out.Result, out.Again)
	}
}

func TestRecord_ARowTellsWhatTheMailWasMadeFrom(t *testing.T) {
	e := smallEstate()
	l := e.archived(t)
	first := recorded(t, l, e, reports.SalesAgent)[0]
	recorded(t, l, e, reports.SalesAgent)
	rows := l.reports()
	if len(rows) != 2 {
		t.Fatalf("%d rows, want 2", len(rows))
	}
	row := rows[1]
	if row.Previous != nil {
		t.Errorf("previous report %s of a person who was sent nothing", *row.Previous)
	}
	if row.Scope != `["kept","lost"]` || row.Recipient != "anna@partner.example" || row.Day != data.DayOf(time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)) ||
		*row.Job != "weekly" || *row.Slot != "2026-11-16T06:00:00Z" || *row.Model != "usage-1/prior" {
		t.Errorf("row %+v", row)
	}
	for what, sum := range map[string]*string{"partner: {}\n": row.Config, "customer_id,address\nkept,anna@partner.example\nlost,anna@partner.example\n": row.Ownership} {
		if b, err := l.arc.Kept(context.Background(), archive.Inputs, *sum); err != nil || string(b) != what {
			t.Errorf("kept %q, %v, want %q", b, err, what)
		}
	}
	var digest reports.Digest
	if err := json.Unmarshal([]byte(row.Digest), &digest); err != nil || digest.Subject != first.Digest.Subject {
		t.Errorf("digest %q, %v", digest.Subject, err)
	}
}

// TestSend_NothingLeavesThatIsNotRecorded looks at the archive from inside the
// sender, and lets recording fail.
func TestSend_NothingLeavesThatIsNotRecorded(t *testing.T) {
	e := smallEstate()
	l := e.archived(t)
	window := e.window()
	spec, err := data.ParsePeriod(data.Period{From: window.To - 6, To: window.To}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(context.Background(), l.view(), Query{Period: spec, Trend: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	d := e.mails(t, p, reports.SalesAgent)
	s := &scripted{}
	deliverer, plant := post(t, 0, s)
	seen := 0
	deliverer.Sender = watched{s, func() { seen = len(l.reports()) }}
	run := plant.begun("weekly")
	refused := Sending{Ledger: plant.ledger, Run: run, Deliverer: deliverer, Recorder: l.recorder()}
	refused.Recorder.Run.ID = "not/an id"
	if _, err := refused.Send(context.Background(), d); err == nil || len(s.got) != 0 {
		t.Fatalf("recording fails: %v, sent to %q", err, s.got)
	}
	send := Sending{Ledger: plant.ledger, Run: run, Deliverer: deliverer, Recorder: l.recorder()}
	if out, err := send.Send(context.Background(), d); err != nil || out.Delivered.Sent != 1 {
		t.Fatalf("sent %+v, %v", out, err)
	}
	if seen != 1 {
		t.Errorf("%d reports are in the archive when the mail leaves, want 1", seen)
	}
	row := l.reports()[0]
	deliveries, err := plant.ledger.Deliveries(context.Background(), ledger.Query{Run: run.ID})
	if err != nil || len(deliveries) != 1 || deliveries[0].SHA256 != row.EMLSHA256 || deliveries[0].ID != row.MessageID {
		t.Errorf("deliveries %+v, %v; recorded %s %s", deliveries, err, row.EMLSHA256, row.MessageID)
	}
}

// watched calls look before a mail leaves.
type watched struct {
	mail.Sender
	look func()
}

func (w watched) Send(ctx context.Context, e mail.Envelope, raw []byte, dot func() error) mail.Result {
	w.look()
	return w.Sender.Send(ctx, e, raw, dot)
}
