package archive

import "slices"

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
		for _, p := range v.Parts(t) {
			kinds = append(kinds, p.Feed.Source)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
