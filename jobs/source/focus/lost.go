package focus

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"tidemark/data"
)

// lost is a manifest that cannot be read, or a file without one.
type lost struct {
	name     string
	month    data.Day // 0 where the name does not say
	manifest bool
	known    bool // it stands with a run that can be read, which tells of whose export it is
}

func (l lost) mayBe(month data.Day) bool { return l.month == 0 || l.month == month }

// lose notes what may be of a run that is not among those that can be read.
func (p *plan) lose(runs []*run, files map[string]object) {
	dirs, listed, exports := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range runs {
		dirs[r.dir] = true
		for _, f := range r.files {
			listed[f.name] = true
		}
		if above, month := monthIn(r.dir + "/"); month != 0 && r.key() != "" {
			exports[above] = true
		}
	}
	lose := func(name, at string, manifest bool) {
		above, month := monthIn(at)
		p.lost = append(p.lost, lost{name, month, manifest, exports[above]})
	}
	for _, r := range runs {
		if r.key() == "" && (r.unready != "" || len(r.Blobs) == 0) {
			lose(r.place, r.dir+"/", true)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !listed[name] && !governed(dirs, name) {
			lose(name, name, false)
		}
	}
}

// monthIn is the month that one of the folders of a name is of, and the folder above it, which
// is the export's, as in exports/20261001-20261031/part.csv; 0 for none.
func monthIn(name string) (above string, month data.Day) {
	for rest := name; ; {
		folder, below, found := strings.Cut(rest, "/")
		if !found {
			return name, 0
		}
		from, to, ranges := strings.Cut(folder, "-")
		if at, err := time.Parse("20060102", from); err == nil && ranges && len(to) == len(from) {
			return strings.TrimSuffix(name, rest), data.MonthOf(data.DayOf(at)).From
		}
		rest = below
	}
}

// mayHave reports whether something that cannot be told to be of any run may be of one
// of a month, which a file that is written over is until its copy is whole.
func (p *plan) mayHave(month data.Day) bool {
	return slices.ContainsFunc(p.lost, func(l lost) bool { return !l.known && l.mayBe(month) })
}

// awaitLost has the days wait of what cannot be told to be of any run: it may be of a scope
// that nobody knows yet. What does not even tell its month is of the newest, unless it is a
// file alone, which may lie there by mistake.
func (p *plan) awaitLost() {
	for _, l := range p.lost {
		if l.known || l.month == 0 && !l.manifest {
			continue
		}
		p.awaits = append(p.awaits, data.Awaited{Days: data.MonthOf(cmp.Or(l.month, p.horizon)), Scope: l.name})
	}
}
