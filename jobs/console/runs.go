package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"tidemark/jobs"
	"tidemark/jobs/ledger"
)

// pageRows is how many rows a page shows at most; the rest is on the next.
const pageRows = 200

// choice is one entry of a filter.
type choice struct {
	Value string
	Is    bool
}

// choices are the entries of a filter, the chosen one marked.
func choices[T ~string](all []T, chosen T) []choice {
	var out []choice
	for _, v := range all {
		out = append(out, choice{string(v), v == chosen})
	}
	return out
}

// next is the address of the page behind the one that is shown.
func next(r *http.Request, after string) string {
	q := url.Values{}
	for key, values := range r.URL.Query() {
		if slices.Contains([]string{"job", "run", "state", "recipient"}, key) && values[0] != "" {
			q.Set(key, values[0])
		}
	}
	q.Set("after", after)
	return r.URL.Path + "?" + q.Encode()
}

type runsPage struct {
	meta
	Job    string
	Jobs   []choice
	States []choice
	Rows   []runRow
	Next   string // address; empty: these are all
}

type runRow struct {
	ID, Job, Took, Note string
	Slot                Moment
	State               Badge
	Tries               int
}

func (c *Console) runs(r *http.Request) (page, error) {
	q := ledger.RunQuery{Job: r.FormValue("job"), State: ledger.RunState(r.FormValue("state")), After: r.FormValue("after"), Limit: pageRows + 1}
	if q.State != "" && !slices.Contains(ledger.RunStates(), q.State) {
		return nil, errQuestion
	}
	status, err := c.o.Status(r.Context())
	if err != nil {
		return nil, err
	}
	all, err := c.o.Ledger.RunPage(r.Context(), q)
	if err != nil {
		return nil, err
	}
	p := runsPage{meta: meta{"runs", "Runs", "runs"}, Job: note(q.Job), States: choices(ledger.RunStates(), q.State)}
	for _, j := range status.Jobs {
		p.Jobs = append(p.Jobs, choice{note(j.Name), j.Name == q.Job})
	}
	if len(all) > pageRows {
		all = all[:pageRows]
		p.Next = next(r, all[pageRows-1].ID)
	}
	for _, run := range all {
		p.Rows = append(p.Rows, c.runRow(run))
	}
	return p, nil
}

func (c *Console) runRow(r ledger.Run) runRow {
	return runRow{ID: r.ID, Job: note(r.Job), Took: took(r), Note: note(r.Note), Slot: c.moment(r.Slot), State: runBadge(r.State), Tries: r.Tries}
}

type runPage struct {
	meta
	Run        runRow
	Due        Moment
	Started    Moment
	Finished   Moment
	Owner      string
	Only       string
	Again      string
	Note       string
	Facts      []fact
	Lists      []list
	Deliveries []stateCount
	Decide     []string // commands, one of which a person must choose
}

// fact is one number or text about something.
type fact struct{ Name, Text string }

// list is some lines under a title.
type list struct {
	Title string
	Lines []string
}

// stateCount is how many are in a state.
type stateCount struct {
	State Badge
	N     int
	Run   string // of which; empty: of all
}

func (c *Console) run(r *http.Request) (page, error) {
	run, err := c.o.Ledger.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	counts, err := c.o.Ledger.Counts(r.Context(), run.ID)
	if err != nil {
		return nil, err
	}
	p := runPage{meta: meta{"run", "Run " + note(run.ID), "runs"}, Run: c.runRow(run), Due: c.moment(run.Due), Started: c.momentOf(run.Started),
		Finished: c.momentOf(run.Finished), Owner: note(run.Owner), Only: note(run.Only), Again: note(run.Again), Note: clean(run.Note, longLength)}
	p.Deliveries = stateCounts(counts, run.ID)
	if run.State == ledger.Held {
		p.Decide = []string{"tidemark release " + run.ID, "tidemark drop " + run.ID}
	}
	p.Facts, p.Lists = resultOf(run.Result)
	return p, nil
}

// stateCounts are the counts in the order of the states.
func stateCounts(counts map[ledger.DeliveryState]int, run string) []stateCount {
	var out []stateCount
	for _, s := range ledger.DeliveryStates() {
		if n := counts[s]; n > 0 {
			out = append(out, stateCount{deliveryBadge(s), n, run})
		}
	}
	return out
}

// resultOf is what a job says about its run.
func resultOf(result string) (facts []fact, lists []list) {
	var sent jobs.SendResult
	var read struct {
		jobs.Extracted
		Rows *int64 `json:"rows_read"` // only extractions have it
	}
	switch {
	case result == "":
		return nil, nil
	case json.Unmarshal([]byte(result), &sent) == nil && sent.Batch != nil:
		return sentResult(sent)
	case json.Unmarshal([]byte(result), &read) == nil && read.Rows != nil:
		read.Read = *read.Rows
		return extractedResult(read.Extracted)
	}
	return nil, []list{{"Result", []string{clean(result, longLength)}}}
}

func sentResult(s jobs.SendResult) (facts []fact, lists []list) {
	b, d := s.Batch, s.Delivered
	facts = []fact{{"Period", b.Period.From.String() + " to " + b.Period.To.String()},
		{"Delivered", fmt.Sprintf("%d sent, %d diverted, %d failed, %d unknown, %d pending", d.Sent, d.Diverted, d.Failed, d.Unknown, d.Pending)}}
	for _, l := range []list{{"Why it is held", s.Held}, {"Not delivered", s.Open}, {"Could not be made", s.Failed}, {"Left out", s.Skipped}, {"Had it already", s.Already},
		{"Told that there is nothing newer", s.Still}, {"Interactive pages that could not be written", s.Unwritten}, {"Samples", s.Samples}} {
		if len(l.Lines) > 0 {
			lists = append(lists, list{l.Title, notes(l.Lines)})
		}
	}
	return facts, lists
}

func extractedResult(x jobs.Extracted) (facts []fact, lists []list) {
	days := "none"
	if x.Days != nil {
		days = x.Days.From.String() + " to " + x.Days.To.String()
	}
	facts = []fact{{"Usage days", days}, {"Usage rows read", count(x.Read)}, {"Customers", strconv.Itoa(x.Customers)}, {"Subscriptions", strconv.Itoa(x.Subs)},
		{"Archive run", note(x.Run)}, {"Seal", note(x.Seal)}}
	for _, table := range slices.Sorted(maps.Keys(x.Quarantined)) {
		if n := x.Quarantined[table]; n > 0 {
			facts = append(facts, fact{"In quarantine, " + note(table), count(n)})
		}
	}
	for _, l := range []list{{"Warnings", x.Warnings}, {"Notes", x.Notes}} {
		if len(l.Lines) > 0 {
			lists = append(lists, list{l.Title, notes(l.Lines)})
		}
	}
	return facts, lists
}
