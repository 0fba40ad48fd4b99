package transform

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// Latest returns one row for each subscription that was created on or before a
// day, in order of id: the row of the newest snapshot that has it
// (data.SubscriptionsSchema), with the status it had on that day. An ended_at
// after the day is null, and a subscription that ended by what the snapshots
// say has the day that this is booked on. The caller must Release the record.
func Latest(mem memory.Allocator, inventory []Snapshot, on data.Day) (arrow.Record, error) {
	c := NewCourse(mem)
	defer c.Release()
	for _, s := range inventory {
		if s.Subscriptions == nil {
			continue
		}
		if err := c.Add(s.Day, s.Subscriptions); err != nil {
			return nil, err
		}
	}
	return c.Latest(on)
}

// Course is what the snapshots of an inventory say of its subscriptions over
// time. It is told one snapshot after the other and holds on to the newest alone.
type Course struct {
	mem                      memory.Allocator
	customers, subscriptions IDs
	inv                      *inventory

	newest arrow.Record    // nil before the first
	gone   []arrow.Record  // last rows of those that a later snapshot lacks
	left   map[int32]place // where in gone they are
	spans  [][]StatusSpan  // by subscription
	ending []announcedEnd  // that the newest snapshot states of days after it
}

// announcedEnd is the end of a subscription that is yet to come.
type announcedEnd struct {
	subscription int32
	StatusSpan
}

// NewCourse returns a course without snapshots. The caller must Release it.
func NewCourse(mem memory.Allocator) *Course {
	c := &Course{mem: mem, left: map[int32]place{}}
	c.inv = newInventory(&c.customers, &c.subscriptions)
	return c
}

// CourseColumns are the columns of subscriptions that a course reads; those of its rows
// that a record lacks beyond them are null in Latest.
func CourseColumns() []string {
	return []string{"subscription_id", "customer_id", "plan_id", "name", "status", "created", "commitment_end", "renewed_at", "ended_at"}
}

// Release frees what the course holds on to.
func (c *Course) Release() {
	if c.newest != nil {
		c.newest.Release()
		c.newest = nil
	}
	for _, rec := range c.gone {
		rec.Release()
	}
	c.gone = nil
}

// Add reads the subscriptions of the next snapshot. The record is borrowed.
func (c *Course) Add(day data.Day, subscriptions arrow.Record) error {
	at := len(c.inv.days)
	if at > 0 && day <= c.inv.days[at-1] {
		return outOfOrder(day, c.inv.days[at-1])
	}
	rows := make([]int, len(c.inv.subs)) // in the snapshot before
	for id := range c.inv.subs {
		rows[id] = c.inv.subs[id].row
	}
	if err := c.inv.addSubscriptions(Snapshot{Day: day, Subscriptions: subscriptions}); err != nil {
		return fmt.Errorf("inventory of %s: %w", day, err)
	}
	c.follow(at)
	if err := c.part(at, rows); err != nil {
		return fmt.Errorf("inventory of %s: %w", day, err)
	}
	if c.newest != nil {
		c.newest.Release()
	}
	subscriptions.Retain()
	c.newest = subscriptions
	return nil
}

// part keeps the last rows of those that the snapshot before had and snapshot at lacks.
func (c *Course) part(at int, rows []int) error {
	var last []place
	for id, row := range rows {
		if c.inv.subs[id].exists && c.inv.subs[id].last == at-1 {
			c.left[int32(id)] = place{len(c.gone), len(last)}
			last = append(last, place{0, row})
		}
	}
	if len(last) == 0 {
		return nil
	}
	rec, err := take(c.mem, c.newest.Schema(), []arrow.Record{c.newest}, last)
	if err == nil {
		c.gone = append(c.gone, rec)
	}
	return err
}

// Latest is what the function of the same name returns of the snapshots added.
func (c *Course) Latest(on data.Day) (arrow.Record, error) {
	inv := c.inv
	inv.close()
	status, ended := newWriter(c.mem, oneColumn("status")), newWriter(c.mem, oneColumn("ended_at"))
	defer status.release()
	defer ended.release()
	records := c.gone
	if c.newest != nil {
		records = append(slices.Clone(c.gone), c.newest)
	}
	newest := inv.newest(on)
	var rows []place
	for _, id := range c.subscriptions.sorted() {
		s := &inv.subs[id]
		if !s.exists || s.created.known && s.created.Day > on {
			continue
		}
		at := place{len(c.gone), s.row}
		if s.last < len(inv.days)-1 {
			at = c.left[id]
		}
		rows = append(rows, at)
		status.text(string(inv.status(id, on, newest)))
		ended.maybeDay(maybeDay{s.end.Day, s.end.known && s.end.Day <= on})
	}
	rec, err := take(c.mem, data.SubscriptionsSchema(), records, rows)
	if err != nil {
		return nil, fmt.Errorf("latest subscriptions: %w", err)
	}
	for _, w := range []*writer{status, ended} {
		if rec, err = replace(rec, w); err != nil {
			return nil, fmt.Errorf("latest subscriptions: %w", err)
		}
	}
	return rec, nil
}

// State is what the snapshots say about a subscription on a day.
type State struct {
	Status  data.Status // on that day
	Endings []data.Day  // on which it became suspended or deprovisioned until then, as Metrics counts them
}

// States returns the state of every subscription that was created on or before a
// day, so that words about an end and its count agree: the end may be told by
// ended_at, by a status, or by a row that is missing.
func States(inventory []Snapshot, on data.Day) (map[data.SubscriptionID]State, error) {
	var customers, subscriptions IDs
	inv, err := readInventory(inventory, &customers, &subscriptions)
	if err != nil {
		return nil, err
	}
	newest := inv.newest(on)
	states := make(map[data.SubscriptionID]State, len(inv.subs))
	for id := range int32(len(inv.subs)) {
		s := &inv.subs[id]
		if !s.exists || s.created.known && s.created.Day > on {
			continue
		}
		state := State{Status: inv.status(id, on, newest)}
		for _, e := range inv.endings(id) {
			if e.day <= on {
				state.Endings = append(state.Endings, e.day)
			}
		}
		states[data.SubscriptionID(subscriptions.Text(id))] = state
	}
	return states, nil
}

// oneColumn is the schema of one column of data.SubscriptionsSchema alone.
func oneColumn(column string) *arrow.Schema {
	s := data.SubscriptionsSchema()
	return arrow.NewSchema([]arrow.Field{s.Field(s.FieldIndices(column)[0])}, nil)
}

// replace puts the one column that a writer holds into a record, which it
// releases.
func replace(rec arrow.Record, w *writer) (arrow.Record, error) {
	defer rec.Release()
	one, err := w.finish()
	if err != nil {
		return nil, err
	}
	defer one.Release()
	cols := append([]arrow.Array(nil), rec.Columns()...)
	cols[rec.Schema().FieldIndices(one.ColumnName(0))[0]] = one.Column(0)
	return array.NewRecord(rec.Schema(), cols, rec.NumRows()), nil
}
