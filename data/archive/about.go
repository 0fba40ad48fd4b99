package archive

import (
	"slices"
	"time"
)

// Quarantined returns how many rows the newest extraction of a table refused.
func (v *View) Quarantined(t Table) int64 {
	s := v.states[t]
	if s == nil {
		return 0
	}
	return s.head().quarantined
}

// Sources returns the kinds of the sources that the active inventory and usage
// come from, in order.
func (v *View) Sources() []string {
	var kinds []string
	for _, t := range []Table{Customers, UsageDaily} {
		for _, p := range v.parts(t) {
			kinds = append(kinds, p.Feed.Source)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// Entry is one commit as the log's heads remember it.
type Entry struct {
	Table       Table
	Version     int64
	KnownAt     time.Time
	Run         string
	SHA256      string
	Quarantined int64 // rows that its extraction refused
}

// Latest returns the newest commits of a table up to the view, the newest first,
// at most n. It reads nothing.
func (v *View) Latest(t Table, n int) []Entry {
	s := v.states[t]
	if s == nil {
		return nil
	}
	var out []Entry
	for _, h := range slices.Backward(s.heads) {
		if len(out) == n {
			break
		}
		out = append(out, Entry{t, h.version, h.knownAt, h.run, h.sha256, h.quarantined})
	}
	return out
}
