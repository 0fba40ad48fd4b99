package console

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strconv"

	"tidemark/data"
	"tidemark/data/archive"
)

// newestCommits is how many commits of each table are shown.
const newestCommits = 10

type archivePage struct {
	meta
	Empty   bool
	KnownAt Moment
	Seal    string
	Tables  []tableRow
	Commits []commitRow
}

type tableRow struct {
	Table, Version, First, Last string
	Days, Files, Rows, Size     string
}

type commitRow struct {
	Table, Version, Run, SHA256, Quarantined string
	KnownAt                                  Moment
}

// view is what the archive has now; nil while there is none.
func (c *Console) view(ctx context.Context) (*archive.View, error) {
	a, err := c.o.Archive(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return a.View(ctx, nil)
}

func (c *Console) archive(r *http.Request) (page, error) {
	p := archivePage{meta: meta{"archive", "Archive", "archive"}}
	v, err := c.view(r.Context())
	if err != nil {
		return nil, err
	}
	if v == nil || v.KnownAt().IsZero() {
		p.Empty = true
		return p, nil
	}
	p.KnownAt, p.Seal = c.moment(v.KnownAt()), v.Seal()
	var newest []archive.Entry
	for _, t := range archive.Tables() {
		if v.Version(t) < 0 {
			continue
		}
		p.Tables = append(p.Tables, tableOf(t, v))
		newest = append(newest, v.Latest(t, newestCommits)...)
	}
	slices.SortStableFunc(newest, func(a, b archive.Entry) int { return b.KnownAt.Compare(a.KnownAt) })
	for _, e := range newest {
		p.Commits = append(p.Commits, commitRow{string(e.Table), strconv.FormatInt(e.Version, 10), note(e.Run), note(e.SHA256), count(e.Quarantined), c.moment(e.KnownAt)})
	}
	return p, nil
}

// totals are what a table holds.
type totals struct {
	first, last data.Day
	days, files int
	rows, bytes int64
}

func totalsOf(parts []archive.Part) (t totals) {
	days := map[data.Day]bool{}
	for i, p := range parts {
		if i == 0 {
			t.first, t.last = p.Day, p.Day
		}
		days[p.Day] = true
		t.first, t.last = min(t.first, p.Day), max(t.last, p.Day)
		t.rows, t.bytes, t.files = t.rows+p.Rows, t.bytes+p.Size, t.files+1
	}
	t.days = len(days)
	return t
}

func tableOf(t archive.Table, v *archive.View) tableRow {
	n := totalsOf(v.Parts(t))
	row := tableRow{Table: string(t), Version: strconv.FormatInt(v.Version(t), 10), First: "–", Last: "–",
		Days: count(int64(n.days)), Files: count(int64(n.files)), Rows: count(n.rows), Size: size(n.bytes)}
	if n.files > 0 {
		row.First, row.Last = n.first.String(), n.last.String()
	}
	return row
}
