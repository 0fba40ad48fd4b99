package console

import (
	"net/http"
	"strings"

	"tidemark/jobs/ledger"
)

type overviewPage struct {
	meta
	Verdict   Badge
	Why       []string
	Running   []workRow
	Jobs      []jobRow
	Alarms    []alarmRow
	NeedsOne  []stateCount // deliveries that need a person
	Waiting   int
	Others    []stateCount
	Watermark string
	Seal      string
	DiskFree  string
	Notes     []string
}

type alarmRow struct {
	Key, Message string
	Since        Moment
}

type jobRow struct {
	Name, Do, Role, Period string
	Cron, Zone, After      string
	Warning                string
	Paused                 *Badge // nil: it is not
	Pause                  string // why
	State                  Badge
	Last                   string // id of its last run; empty: none
	Note                   string
	Success                Moment
	UpTo                   string
	Next                   Moment
	Later                  []Moment
	Overdue                *Moment
}

func (c *Console) overview(r *http.Request) (page, error) {
	s, err := c.o.Status(r.Context())
	if err != nil {
		return nil, err
	}
	p := overviewPage{meta: meta{"overview", "Overview", "overview"}, Verdict: verdict(s.Level), Why: notes(s.Why), Running: c.workRows(c.o.Board.Running()),
		Waiting: s.Waiting, Seal: s.Seal, Notes: notes(s.Notes), Watermark: "no usage is archived yet"}
	if s.Watermark != nil {
		p.Watermark = "usage complete up to " + s.Watermark.String()
	}
	if s.DiskFree != nil {
		p.DiskFree = size(int64(min(*s.DiskFree, 1<<62)))
	}
	for _, j := range s.Jobs {
		p.Jobs = append(p.Jobs, c.jobRow(j))
	}
	for _, a := range s.Alarms {
		p.Alarms = append(p.Alarms, alarmRow{note(a.Key), note(a.Message), c.moment(a.Since)})
	}
	for _, n := range stateCounts(s.Mail, "") {
		switch ledger.DeliveryState(n.State.Text) {
		case ledger.Unknown, ledger.Dot, ledger.Refused, ledger.Bounced:
			p.NeedsOne = append(p.NeedsOne, n)
		default:
			p.Others = append(p.Others, n)
		}
	}
	return p, nil
}

func verdict(level int) Badge {
	switch level {
	case 0:
		return Badge{"all is well", "good"}
	case 1:
		return Badge{"warning", "warn"}
	}
	return Badge{"critical", "bad"}
}

type jobsPage struct {
	meta
	Jobs []jobRow
}

func (c *Console) jobs(r *http.Request) (page, error) {
	s, err := c.o.Status(r.Context())
	if err != nil {
		return nil, err
	}
	p := jobsPage{meta: meta{"jobs", "Jobs", "jobs"}}
	for _, j := range s.Jobs {
		p.Jobs = append(p.Jobs, c.jobRow(j))
	}
	return p, nil
}

func (c *Console) jobRow(j Job) jobRow {
	row := jobRow{Name: note(j.Name), Do: j.Do, Role: j.Role, Period: j.Period, Cron: j.Cron, Zone: j.Zone, After: note(j.After), Warning: note(j.Warning),
		Success: c.momentOf(j.Success), State: Badge{"never ran", "idle"}, Next: Moment{Text: "never"}}
	if j.Pause != nil {
		row.Paused, row.Pause = &Badge{"paused", "warn"}, note(*j.Pause)
	}
	if j.Last != nil {
		line, _, _ := strings.Cut(j.Last.Note, "\n")
		row.Last, row.State, row.Note = j.Last.ID, runBadge(j.Last.State), note(line)
	}
	if j.UpTo != nil {
		row.UpTo = j.UpTo.String()
	}
	for i, at := range j.Next {
		if i == 0 {
			row.Next = c.moment(at)
		} else {
			row.Later = append(row.Later, c.moment(at))
		}
	}
	if j.Overdue != nil {
		row.Overdue = new(c.moment(*j.Overdue))
	}
	return row
}
