package reports

import (
	"slices"
	"strings"
)

// shorten takes from a digest what it can best do without: a quarter of the longest list
// of groups, else of rows, else of calls; ok is false when every list has one item left.
// The section that became shorter says so. The sections given stay as they are.
func shorten(sections []Section, note string) (shorter []Section, ok bool) {
	shorter = slices.Clone(sections)
	for _, part := range []struct {
		length func(Section) int
		cut    func(*Section)
	}{
		{func(s Section) int { return len(s.Groups) }, func(s *Section) { s.Groups = lessOf(s.Groups) }},
		{rowsOf, func(s *Section) {
			s.Tables = slices.Clone(s.Tables)
			for i := range s.Tables {
				s.Tables[i].Rows = lessOf(s.Tables[i].Rows)
			}
		}},
		{func(s Section) int { return len(s.Calls) }, func(s *Section) { s.Calls = lessOf(s.Calls) }},
		{func(s Section) int { return len(s.Lines) }, func(s *Section) { s.Lines = lessOf(s.Lines) }},
	} {
		longest, at := 1, -1
		for i, s := range shorter {
			if n := part.length(s); n > longest {
				longest, at = n, i
			}
		}
		if at >= 0 {
			part.cut(&shorter[at])
			shorter[at].More = withNote(shorter[at].More, note)
			return shorter, true
		}
	}
	return sections, false
}

// withNote adds a note to what a section says of the rest, once.
func withNote(more, note string) string {
	switch {
	case more == "" || more == note:
		return note
	case strings.HasSuffix(more, " "+note):
		return more
	}
	return strings.TrimSuffix(more, ".") + ". " + note
}

// rowsOf is the length of the longest table.
func rowsOf(s Section) int {
	most := 0
	for _, t := range s.Tables {
		most = max(most, len(t.Rows))
	}
	return most
}

// lessOf is a list without its last quarter; of one item all of it.
func lessOf[T any](list []T) []T {
	if len(list) < 2 {
		return list
	}
	return list[:len(list)-(len(list)+3)/4]
}
