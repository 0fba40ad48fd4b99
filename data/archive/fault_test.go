package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

var errFault = errors.New("injected fault")

// faulty fails exactly one storage call: the one numbered failAt. With lost set
// a commit takes effect although it reports the fault.
type faulty struct {
	Bucket
	calls, failAt int
	lost          bool
}

func (f *faulty) fails() bool { f.calls++; return f.calls == f.failAt }

func (f *faulty) Open(ctx context.Context, key string) (Reader, error) {
	if f.fails() {
		return nil, errFault
	}
	return f.Bucket.Open(ctx, key)
}

func (f *faulty) Create(ctx context.Context, key string) (Object, error) {
	if f.fails() {
		return nil, errFault
	}
	o, err := f.Bucket.Create(ctx, key)
	return &faultyObject{o, f}, err
}

func (f *faulty) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	if f.fails() {
		return func(yield func(string, error) bool) { yield("", errFault) }
	}
	return f.Bucket.List(ctx, prefix)
}

type faultyObject struct {
	Object
	f *faulty
}

func (o *faultyObject) Write(b []byte) (int, error) {
	if o.f.fails() {
		n, _ := o.Object.Write(b[:len(b)/2])
		return n, errFault
	}
	return o.Object.Write(b)
}

func (o *faultyObject) Commit() error {
	if o.f.fails() {
		if o.f.lost {
			return errors.Join(errFault, o.Object.Commit())
		}
		return errors.Join(errFault, o.Object.Abort())
	}
	return o.Object.Commit()
}

// TestRun_FailingAtEveryStorageCallHealsWithOneCleanRun repeats a run with a
// fault at every call in turn. After one clean run the archive must hold what a
// fault-free one holds, every entry of the chain must verify, and each (day,
// feed, billing period) must have one file in usage and one in usage_daily.
func TestRun_FailingAtEveryStorageCallHealsWithOneCleanRun(t *testing.T) {
	days := data.Period{From: 20000, To: 20002}
	before := []data.Usage{row(20000, "a", "EUR", "1"), row(20001, "a", "EUR", "2"), row(20001, "b", "USD", "3")}
	after := []data.Usage{row(20000, "a", "EUR", "1"), row(20001, "a", "EUR", "5"), row(20002, "b", "USD", "3"), row(20002, "a", "EUR", "-1")}
	for _, lost := range []bool{false, true} {
		faults := 0
		for failAt := 1; ; failAt++ {
			bucket := &faulty{Bucket: NewMemory(), lost: lost}
			f := newFixture(t, bucket)
			if _, _, err := f.run("s", days, true, before); err != nil {
				t.Fatal(err)
			}
			bucket.calls, bucket.failAt = 0, failAt
			_, _, err := f.run("s", days, true, after)
			if err != nil && !errors.Is(err, errFault) {
				t.Fatalf("call %d: %v, want the injected fault or success", failAt, err)
			}
			if bucket.calls < failAt {
				break // the run has no such call
			}
			faults++
			bucket.failAt = 0
			if _, _, err := f.run("s", days, true, after); err != nil {
				t.Fatalf("clean run after a fault at call %d: %v", failAt, err)
			}
			if diff := cmp.Diff(bag(f.usage()), bag(after)); diff != "" {
				t.Fatalf("after a fault at call %d (lost reply %v), rows (-got +want):\n%s", failAt, lost, diff)
			}
			f.checkWhole(t)
		}
		if faults < 50 {
			t.Errorf("only %d storage calls were tried", faults)
		}
	}
}

// checkWhole verifies the chains and that usage and its rollup agree file by file.
func (f *fixture) checkWhole(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	for _, table := range []Table{UsageTable, UsageDaily} {
		for _, err := range f.arc.History(ctx, table) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	v, err := f.arc.View(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	usage, daily := v.Parts(UsageTable), v.Parts(UsageDaily)
	if len(usage) != len(daily) {
		t.Fatalf("%d usage files and %d rollups", len(usage), len(daily))
	}
	seen := map[identity]bool{}
	for i, p := range usage {
		if seen[p.identity()] {
			t.Fatalf("two files for %+v", p.identity())
		}
		seen[p.identity()] = true
		if daily[i].From != p.SHA256 || daily[i].identity() != p.identity() {
			t.Fatalf("the rollup of %s was made from another file", p.Path)
		}
	}
}

func TestRead_ADamagedFileIsRefusedByName(t *testing.T) {
	ctx := context.Background()
	refused, tried := 0, 0
	for step := range 60 {
		m := NewMemory()
		f := newFixture(t, m)
		var rows []data.Usage
		for i := range 300 {
			rows = append(rows, row(20000, fmt.Sprintf("customer-%03d", i%40), "EUR", fmt.Sprint(i, ".25")))
		}
		if _, _, err := f.run("s", data.Period{From: 20000, To: 20000}, true, rows); err != nil {
			t.Fatal(err)
		}
		v, err := f.arc.View(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		part := v.Parts(UsageTable)[0]
		key := "usage/" + part.Path
		content := m.objects[key]
		switch at := step * len(content) / 60; step % 3 {
		case 0:
			content[at] ^= 0x40
		case 1:
			m.objects[key] = content[:at]
		case 2:
			m.objects[key] = append(content, 0)
		}
		tried++
		var got []data.Usage
		for rec, err := range v.Scan(ctx, UsageTable, data.Period{From: 20000, To: 20000}) {
			if err != nil {
				if !strings.Contains(err.Error(), part.Path) {
					t.Errorf("damage %d: error does not name the file: %v", step, err)
				}
				refused++
				break
			}
			got = append(got, usageRows(rec)...)
		}
		if got != nil && cmp.Diff(bag(got), bag(rows)) != "" {
			t.Errorf("damage %d is read as other rows", step)
		}
	}
	// A flipped bit in padding or in the footer's free text may change nothing.
	if refused < tried*8/10 {
		t.Errorf("%d of %d damaged files were refused", refused, tried)
	}
}
