package transform

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// segments notes where rows begin that are of another day, customer or subscription than the row
// before: files are sorted, so that most rows are of the same. The last element is the number of
// rows.
func (u *usage) segments(c *usageColumns) []int32 {
	n := c.Rows()
	u.differ = atLeast(u.differ[:0], n)
	clear(u.differ)
	differ(u.differ, &c.customer, &c.subscription)
	days := c.day.values[:n]
	u.starts = u.starts[:0]
	for i, differs := range u.differ {
		if i == 0 || differs != 0 || days[i] != days[i-1] {
			u.starts = append(u.starts, int32(i))
		}
	}
	return append(u.starts, int32(n))
}

// use says that a subscription was used; the side is earlier for a day that is not compared.
type use struct {
	side                   int
	day                    data.Day
	customer, subscription int32
}

const nowhere = -1

// mostRows is how many rows one worker adds up: the counts of a tally have 32 bits.
const mostRows = math.MaxInt32

func (u *usage) add(rec arrow.Record, days *calendar) error {
	c, err := u.columns(rec)
	if err != nil {
		return err
	}
	if u.rows += int64(c.Rows()); u.rows > mostRows {
		return fmt.Errorf("more than %d rows of two periods: %w", mostRows, data.ErrOverflow)
	}
	u.lines.read(&c, &u.spots.kinds)
	u.spotOf = atLeast(u.spotOf, c.Rows())
	for starts := u.segments(&c); len(starts) > 1; {
		n := min(len(starts)-1, blockSegments)
		u.addBlock(&c, starts[:n+1], days)
		starts = starts[n:]
	}
	if !u.lines.long {
		u.addDays(&c, days)
	}
	return nil
}

// blockSegments is how many segments are added up step by step. Each step goes over all of them
// with little to do, so that the processor can wait for the memory of several rows at once.
const blockSegments = 512

// block is what is known of the segments that are being added up.
type block struct {
	side     [blockSegments]int8 // nowhere for a day that does not count
	customer [blockSegments]int32
}

// addBlock adds up segments.
func (u *usage) addBlock(c *usageColumns, starts []int32, days *calendar) {
	b, n := &u.block, len(starts)-1
	for segment := range n {
		from, to := int(starts[segment]), int(starts[segment+1])
		d := data.Day(c.day.values[from])
		side, counts := days.of(d)
		if !counts {
			b.side[segment] = nowhere // what is on such days alone is not known here
			continue
		}
		b.side[segment], b.customer[segment] = int8(side), c.customer.At(from)
		if use := (use{side, d, b.customer[segment], c.subscription.At(from)}); use != u.noted && u.usedIn(c, from, to) {
			u.mark(use.side, use.day, use.customer, use.subscription)
			u.noted = use
		}
	}
	if u.lines.long {
		u.addRuns(c, starts)
	} else {
		u.addRows(c, starts)
	}
}

// compared returns the side of a segment, if that is one of those that are compared.
func (b *block) compared(segment int) (side int, is bool) {
	side = int(b.side[segment])
	return side, isCompared(side)
}

func isCompared(side int) bool { return side == current || side == previous }

// addRuns adds up the rows of one kind that follow each other at once.
func (u *usage) addRuns(c *usageColumns, starts []int32) {
	lines := u.lines.of
	for segment := range len(starts) - 1 {
		side, compared := u.block.compared(segment)
		if !compared {
			continue
		}
		customer, from, to := u.block.customer[segment], int(starts[segment]), int(starts[segment+1])
		for from < to {
			end, line := from+1, lines[from]
			for end < to && lines[end] == line {
				end++
			}
			u.addRun(c, side, customer, from, end)
			from = end
		}
	}
}

// addRun adds rows of one day, customer and kind.
func (u *usage) addRun(c *usageColumns, side int, customer int32, from, to int) {
	line := u.lines.of[from]
	spot := u.spots.of(customer, line.kind())
	sums := u.spots.sums[side].at(spot)
	if line.countsQuantity() == 1 {
		sums.quantity.merge(Total(&c.quantity, from, to))
		sums.quantityRows += uint32(to - from)
	}
	if line.countsCost() == 0 {
		return
	}
	cost := Total(&c.cost, from, to)
	sums.cost.merge(cost)
	sums.costRows += uint32(to - from)
	if cost.Count() > 0 { // only days with a known cost have a group
		u.byDay.at(dayKey{data.Day(c.day.values[from]), u.spots.kinds.all[line.kind()].currency}).Merge(cost)
	}
	u.addUSD(c, side, spot, from, to)
}

// addRows adds up rows one by one, in steps and without a branch that is hard to predict.
func (u *usage) addRows(c *usageColumns, starts []int32) {
	b, n := &u.block, len(starts)-1
	for segment := range n {
		if _, compared := b.compared(segment); compared {
			u.findSpots(b.customer[segment], int(starts[segment]), int(starts[segment+1]))
		}
	}
	for from := 0; from < n; {
		to := from + 1
		for to < n && b.side[to] == b.side[from] {
			to++
		}
		if side, compared := b.compared(from); compared {
			u.addToSpots(c, side, int(starts[from]), int(starts[to]))
		}
		from = to
	}
}

// findSpots sets the spots of rows of a customer.
func (u *usage) findSpots(customer int32, from, to int) {
	row, spots := u.spots.at.row(customer), u.spotOf[from:to]
	for i, line := range u.lines.of[from:to] {
		at := int32(0)
		if k := line.kind(); int(k) < len(row) {
			at = row[k]
		}
		if at == 0 {
			at = u.spots.of(customer, line.kind()) + 1
			row = u.spots.at.row(customer)
		}
		spots[i] = at - 1
	}
}

// addToSpots adds rows of a side to their spots.
func (u *usage) addToSpots(c *usageColumns, side, from, to int) {
	u.spots.sums[side].reach(len(u.spots.all))
	sums, spots := u.spots.sums[side], u.spotOf[from:to]
	quantity, quantityKnown := c.quantity.values[from:to], c.quantity.valid
	cost, costKnown := c.cost.values[from:to], c.cost.valid
	for i, line := range u.lines.of[from:to] {
		to := sums.of(spots[i])
		to.quantity.add(quantity[i], line.countsQuantity()&quantityKnown.bit(from+i))
		to.cost.add(cost[i], line.countsCost()&costKnown.bit(from+i))
		to.quantityRows += line.countsQuantity()
		to.costRows += line.countsCost()
	}
	for i := from; i < to && u.usd; i++ {
		if u.lines.of[i].countsCost() == 1 {
			u.addUSD(c, side, u.spotOf[i], i, i+1)
		}
	}
}

func (u *usage) usedIn(c *usageColumns, from, to int) bool {
	for i := from; i < to; i++ {
		if c.used(i, u.lines.of[i].countsQuantity() == 1) {
			return true
		}
	}
	return false
}

// addUSD adds the costs in USD of rows of a spot, unless one is not known.
func (u *usage) addUSD(c *usageColumns, side int, spot int32, from, to int) {
	if !u.usd {
		return
	}
	for i := from; i < to; i++ {
		if !c.inUSD(i) {
			u.usd, u.spots.usds = false, sides{} // nobody asks for them
			return
		}
	}
	u.spots.usds.add(side, spot, int64(to-from), Total(&c.usd, from, to))
}

// addDays adds the costs of the rows to their days.
func (u *usage) addDays(c *usageColumns, days *calendar) {
	if c.cost.none {
		return
	}
	n := c.Rows()
	clear(u.differ)
	differ(u.differ, &c.currency)
	day, lines, changes := c.day.values[:n], u.lines.of[:n], u.differ[:n]
	for from := 0; from < n; {
		first, to := lines[from]&costCounts, from+1
		for to < n && int32(lines[to]&costCounts^first)|changes[to]|int32(day[to]^day[from]) == 0 {
			to++
		}
		side, _ := days.of(data.Day(day[from]))
		if first != 0 && isCompared(side) {
			if sum := Total(&c.cost, from, to); sum.Count() > 0 { // only days with a known cost have a group
				u.byDay.at(dayKey{data.Day(day[from]), c.currency.At(from)}).Merge(sum)
			}
		}
		from = to
	}
}
