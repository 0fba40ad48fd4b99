package transform

// line is what a row is of: the number of its kind, and how its charge counts.
type line int32

const (
	quantityCounts line = 1 << iota // it is usage
	costCounts                      // it is no tax
	lineBits       = iota
)

// line is what a row of a kind with a charge is of.
func (c *usageColumns) line(all *kinds, of kind, charge int32) line {
	l := line(all.of(of)) << lineBits
	if charge == c.usage {
		l |= quantityCounts
	}
	if charge != c.tax {
		l |= costCounts
	}
	return l
}

func (l line) kind() int32            { return int32(l >> lineBits) }
func (l line) countsQuantity() uint32 { return uint32(l & quantityCounts) }
func (l line) countsCost() uint32     { return uint32(l&costCounts) >> 1 }

// rowLines tells what each row of a record is of. Rows with the same places in the dictionaries of
// category, unit, currency and charge are of the same, so that each combination of places is
// looked up once for a set of dictionaries.
type rowLines struct {
	of   []line // by row
	long bool   // rows of the same mostly follow each other

	places [4][]int32 // the dictionaries of known, as ids
	known  []line     // by combination of places; unknownLine until it is asked for
}

const unknownLine = line(-1)

// mostCombinations bounds the memory of rowLines.known. Rows of larger dictionaries, or of none, are
// looked up one by one.
const mostCombinations = 1 << 16

// read sets l.of and l.long for the rows of a record.
func (l *rowLines) read(c *usageColumns, all *kinds) {
	l.of = atLeast(l.of, c.Rows())[:c.Rows()]
	l.find(c, all)
	runs, last, sample := 0, unknownLine, l.of[:min(sampleRows, len(l.of))]
	for _, is := range sample {
		if is != last {
			runs++
		}
		last = is
	}
	l.long = runs*longRun <= len(sample)
}

const (
	longRun    = 3    // from how many rows on those that are of the same are added up at once
	sampleRows = 2048 // of a record, by which that is judged
)

func (l *rowLines) find(c *usageColumns, all *kinds) {
	columns := [...]*IDColumn{&c.category, &c.unit, &c.currency, &c.charge}
	if !l.prepare(columns) {
		for i := range l.of {
			l.of[i] = c.line(all, kind{c.category.At(i), c.unit.At(i), c.currency.At(i)}, c.charge.At(i))
		}
		return
	}
	clear(l.of)
	step := 1
	for at := len(columns) - 1; at > 0; at-- {
		columns[at].addPlaces(l.of, step)
		step *= len(columns[at].remap) + 1
	}
	first := columns[0] // its place is added and looked up in one pass
	index, nulls, null := first.index[:len(l.of)], first.valid.bits != nil, line(len(first.remap))
	for i, code := range l.of {
		at := line(index[i])
		if nulls && first.valid.isNull(i) {
			at = null
		}
		code += at * line(step)
		is := l.known[code]
		if is == unknownLine {
			is = l.enter(int(code), columns, c, all)
		}
		l.of[i] = is
	}
}

// prepare makes l.known ready for the dictionaries of a record, and reports whether it is of use.
func (l *rowLines) prepare(columns [4]*IDColumn) bool {
	combinations, same := 1, l.known != nil
	for i, c := range columns {
		combinations *= len(c.remap) + 1
		if combinations > mostCombinations {
			return false
		}
		same = same && sameSlice(l.places[i], c.remap)
	}
	if same {
		return true
	}
	for i, c := range columns {
		l.places[i] = c.remap
	}
	l.known = atLeast(l.known[:0], combinations)
	for i := range l.known {
		l.known[i] = unknownLine
	}
	return true
}

func sameSlice(a, b []int32) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// enter looks a combination of places up.
func (l *rowLines) enter(code int, columns [4]*IDColumn, c *usageColumns, all *kinds) line {
	var ids [4]int32
	rest := code
	for at := len(columns) - 1; at >= 0; at-- {
		places := len(columns[at].remap) + 1
		ids[at], rest = columns[at].id(rest%places), rest/places
	}
	l.known[code] = c.line(all, kind{ids[0], ids[1], ids[2]}, ids[3])
	return l.known[code]
}

// addPlaces adds the place of each row in the dictionary, that after the last for null, so many
// times.
func (c *IDColumn) addPlaces(to []line, times int) {
	index, step, null := c.index[:len(to)], line(times), line(len(c.remap))
	several := len(c.remap) > 1 // where there is one, its place is 0
	if several {
		for i, at := range index {
			to[i] += step * line(at)
		}
	}
	for i := range c.valid.nulls(0, len(to)) {
		if several {
			to[i] -= step * line(index[i]) // whatever stands there
		}
		to[i] += step * null
	}
}
