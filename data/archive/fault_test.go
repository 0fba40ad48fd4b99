package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

var errInjected = errors.New("injected fault")

// faulty is a Bucket that fails one call.
type faulty struct {
	Bucket
	mode  faultMode
	mu    sync.Mutex // logs are replayed by several goroutines
	left  int        // calls until the fault
	fired bool       // whether it came

	created []string // keys, in order
}

type faultMode string

const (
	faultPlain     faultMode = "the call fails"
	faultShort     faultMode = "a write stops half way"
	faultLostReply faultMode = "a commit succeeds, but its reply is lost"
	faultFull      faultMode = "from a call on nothing can be written"
	faultStale     faultMode = "a listing does not show what is newest"
	faultDouble    faultMode = "a listing shows every key twice"
)

// full reports whether the disk is full: from the call that is due on.
func (f *faulty) full() bool {
	if f.mode == faultFull {
		f.due()
	}
	return f.mode == faultFull && f.fired
}

// due reports whether this call is the one that fails.
func (f *faulty) due() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left--
	f.fired = f.fired || f.left == 0
	return f.left == 0
}

func (f *faulty) Open(ctx context.Context, key string) (Reader, error) {
	if f.mode == faultPlain && f.due() {
		return nil, errInjected
	}
	r, err := f.Bucket.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return &faultyReader{r, f}, nil
}

func (f *faulty) Create(ctx context.Context, key string) (Object, error) {
	if f.mode == faultPlain && f.due() {
		return nil, errInjected
	}
	if f.full() {
		return nil, syscall.ENOSPC
	}
	o, err := f.Bucket.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	f.created = append(f.created, key)
	return &faultyObject{o, f}, nil
}

func (f *faulty) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if f.mode == faultPlain && f.due() {
			yield(Info{}, errInjected)
			return
		}
		stale, double := f.mode == faultStale && f.due(), f.mode == faultDouble && f.due()
		var infos []Info
		for info, err := range f.Bucket.List(ctx, prefix) {
			if err != nil {
				yield(info, err)
				return
			}
			if infos = append(infos, info); double {
				infos = append(infos, info)
			}
		}
		if stale && len(infos) > 0 {
			infos = infos[:len(infos)-1]
		}
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (f *faulty) Replace(ctx context.Context, key string, content []byte) error {
	if f.mode == faultPlain && f.due() {
		return errInjected
	}
	if f.full() {
		return syscall.ENOSPC
	}
	err := f.Bucket.Replace(ctx, key, content)
	if err == nil && f.mode == faultLostReply && f.due() {
		return errInjected
	}
	return err
}

func (f *faulty) Delete(ctx context.Context, key string) error {
	if f.mode == faultPlain && f.due() {
		return errInjected
	}
	err := f.Bucket.Delete(ctx, key)
	if err == nil && f.mode == faultLostReply && f.due() {
		return errInjected
	}
	return err
}

type faultyReader struct {
	Reader
	f *faulty
}

func (r *faultyReader) ReadAt(p []byte, off int64) (int, error) {
	if r.f.mode == faultPlain && r.f.due() {
		return 0, errInjected
	}
	return r.Reader.ReadAt(p, off)
}

func (r *faultyReader) Close() error {
	err := r.Reader.Close()
	if r.f.mode == faultPlain && r.f.due() {
		return errInjected
	}
	return err
}

type faultyObject struct {
	Object
	f *faulty
}

func (o *faultyObject) Write(p []byte) (int, error) {
	switch {
	case o.f.mode == faultPlain && o.f.due():
		return 0, errInjected
	case o.f.mode == faultShort && o.f.due():
		n, err := o.Object.Write(p[:len(p)/2])
		if err != nil {
			return n, err
		}
		return n, errInjected
	case o.f.full():
		return 0, syscall.ENOSPC
	}
	return o.Object.Write(p)
}

func (o *faultyObject) Commit() error {
	switch {
	case o.f.mode == faultPlain && o.f.due():
		return errors.Join(o.Object.Abort(), errInjected)
	case o.f.full():
		return errors.Join(o.Object.Abort(), syscall.ENOSPC)
	case o.f.mode == faultLostReply && o.f.due():
		if err := o.Object.Commit(); err != nil {
			return err
		}
		return errInjected
	}
	return o.Object.Commit()
}

// smallRun is a whole run: quarantine, usage, rollup, inventory, a report with its
// mail, checkpoints, record.
func smallRun(ctx context.Context, a *Archive, runID, cost string) (err error) {
	r, err := a.Begin(ctx, RunInfo{ID: runID, Job: "extract", Source: "tables"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Abort()) }()
	if err := r.Quarantine(UsageTable, &data.RowError{File: "usage.csv", Line: 1, Reason: "bad"}); err != nil {
		return err
	}
	for _, u := range []data.Usage{row("2026-11-20", "a", cost), row("2026-11-20", "b", "2")} {
		if err := r.AddUsage(u, Feed{"tables", "", "EUR"}); err != nil {
			return err
		}
	}
	d := Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-21")}
	if _, err := r.CommitUsage(ctx, d); err != nil {
		return err
	}
	if _, err := r.Rollup(ctx, rollup); err != nil {
		return err
	}
	if _, err := r.CommitCustomers(ctx, day("2026-11-22"), []data.Customer{customer("a", cost)}, d); err != nil {
		return err
	}
	subscription := data.Subscription{SubscriptionID: "s", CustomerID: "a", Status: data.StatusActive}
	if _, err := r.CommitSubscriptions(ctx, day("2026-11-22"), []data.Subscription{subscription}, d); err != nil {
		return err
	}
	mailed := report("report-"+runID, "anna@partner.example")
	if mailed.EMLSHA256, err = r.Keep(ctx, Mails, []byte("mail of "+runID)); err != nil {
		return err
	}
	if _, err := r.CommitReports(ctx, day("2026-11-23"), []data.Report{mailed}); err != nil {
		return err
	}
	_, err = r.Finish(ctx)
	return err
}

// everything reads all tables of data, and how many parts each day has.
func everything(t testing.TB, a *Archive) []string {
	t.Helper()
	v, err := a.View(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, table := range DataTables() {
		lines = append(lines, partNames(v, table)...)
		lines = append(lines, dump(t, v.Scan(context.Background(), table, allDays))...)
	}
	return lines
}

func openFor(t testing.TB, b Bucket) *Archive {
	t.Helper()
	a, err := Open(context.Background(), b, Options{Producer: "tidemark test", Now: newClock().now, TempDir: t.TempDir(), CheckpointEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestRun_AfterAnyFaultACleanRunGivesTheSameRows lets a run fail at each of its
// calls in turn, on top of an earlier run, and runs again.
func TestRun_AfterAnyFaultACleanRunGivesTheSameRows(t *testing.T) {
	seed := NewMemory()
	if err := smallRun(t.Context(), openFor(t, seed), "seed", "1"); err != nil {
		t.Fatal(err)
	}
	good := copyOf(seed)
	if err := smallRun(t.Context(), openFor(t, good), "good", "7"); err != nil {
		t.Fatal(err)
	}
	states := faultStates{seed, everything(t, openFor(t, seed)), everything(t, openFor(t, good))}
	const all = -1
	for mode, want := range map[faultMode]struct{ calls, survived int }{
		faultPlain: {200, 1}, // whether a mail is kept already; it is then written
		faultShort: {9, 0}, faultFull: {50, 0},
		// Unknown outcomes are looked up: four log entries, four checkpoints, the
		// mail and the record.
		faultLostReply: {18, 10},
		// Whatever a listing says, the run comes to the same end.
		faultStale: {10, all}, faultDouble: {10, all},
	} {
		t.Run(string(mode), func(t *testing.T) {
			n, survived := 1, 0
			for ; ; n++ {
				fired, err := states.run(t, mode, n)
				if !fired {
					break
				}
				if err == nil {
					survived++
				}
			}
			if n <= want.calls {
				t.Errorf("only %d calls were tried, want at least %d", n-1, want.calls)
			}
			if want.survived == all {
				want.survived = n - 1
			}
			if survived != want.survived {
				t.Errorf("%d of %d faults were survived, want %d", survived, n-1, want.survived)
			}
		})
	}
}

// faultStates are an archive with one run, and its rows before and after the next.
type faultStates struct {
	seed      *Memory
	old, want []string
}

// run has the nth call fail, and then checks the archive before and after a clean
// run.
func (s faultStates) run(t *testing.T, mode faultMode, n int) (fired bool, err error) {
	b := copyOf(s.seed)
	f := &faulty{Bucket: b, mode: mode, left: n}
	a, err := Open(t.Context(), f, Options{Producer: "tidemark test", Now: newClock().now, TempDir: t.TempDir(), CheckpointEvery: 1})
	if err == nil {
		err = smallRun(t.Context(), a, "faulty", "7")
	}
	if !f.fired {
		return false, nil
	}
	after := openFor(t, b)
	if got := everything(t, after); err != nil && !mixOf(got, s.old, s.want) {
		t.Fatalf("call %d: rows that nobody wrote:\n%s", n, strings.Join(got, "\n"))
	} else if err == nil && !slices.Equal(got, s.want) {
		t.Fatalf("call %d went unnoticed, and the rows are\n%s", n, strings.Join(got, "\n"))
	}
	if err := smallRun(t.Context(), after, "clean", "7"); err != nil {
		t.Fatalf("call %d: clean run: %v", n, err)
	}
	if diff := cmp.Diff(s.want, everything(t, openFor(t, b))); diff != "" {
		t.Fatalf("call %d (-want +got):\n%s", n, diff)
	}
	out, verifyErr := Verify(t.Context(), b, VerifyOptions{CheckpointEvery: 1})
	if verifyErr != nil || !out.OK() {
		t.Fatalf("call %d: %v %v", n, verifyErr, out.Findings)
	}
	orphans, orphansErr := Orphans(t.Context(), b)
	if orphansErr != nil || len(orphans) != out.Unreferenced {
		t.Fatalf("call %d: %d objects are unreferenced, orphans are %v, %v", n, out.Unreferenced, orphans, orphansErr)
	}
	for _, o := range orphans {
		if !slices.Contains(f.created, o.Key) {
			t.Fatalf("call %d: orphan %s is not of the run that failed", n, o.Key)
		}
	}
	return true, err
}

// mixOf reports whether every line of got is from one of two states: each table
// changes by itself.
func mixOf(got, a, b []string) bool {
	known := map[string]bool{}
	for _, line := range append(a[:len(a):len(a)], b...) {
		known[line] = true
	}
	for _, line := range got {
		if !known[line] {
			return false
		}
	}
	return true
}

func copyOf(m *Memory) *Memory {
	c := NewMemory()
	for k, v := range m.files {
		c.files[k] = v
	}
	return c
}

// raced is a Bucket in which something happens just before a key is committed.
type raced struct {
	Bucket
	key    string
	before func()
}

func (r *raced) Create(ctx context.Context, key string) (Object, error) {
	if key == r.key && r.before != nil {
		before := r.before
		r.before = nil
		before()
	}
	return r.Bucket.Create(ctx, key)
}

func TestCommit_TheLoserOfARaceStartsOver(t *testing.T) {
	b := &raced{Bucket: NewMemory(), key: entryKey(UsageTable, 0)}
	f, other := newFixture(t, b), newFixture(t, b.Bucket)
	b.before = func() {
		r := other.begin()
		other.stage(r, "focus", row("2026-11-20", "b", "2"))
		if _, err := r.CommitUsage(t.Context(), Delivery{Source: "focus", Days: days("2026-11-20", "2026-11-20")}); err != nil {
			t.Fatal(err)
		}
	}
	f.runs = 10 // other ids than the other's
	usage, _ := f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	if usage.Version != 1 || usage.Added != 1 {
		t.Errorf("commit = %+v, want version 1", usage)
	}
	want := []string{"2026-11-20 focus//EUR - 1", "2026-11-20 tables//EUR - 1"}
	if diff := cmp.Diff(want, partNames(f.view(), UsageTable)); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

func TestCommit_TheSamePartInBetweenIsAConflict(t *testing.T) {
	commit := map[string]func(f *fixture, r *Run, value string) error{
		"usage": func(f *fixture, r *Run, value string) error {
			f.stage(r, "tables", row("2026-11-20", "a", value))
			_, err := r.CommitUsage(context.Background(), Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")})
			return err
		},
		"customers": func(_ *fixture, r *Run, value string) error {
			_, err := r.CommitCustomers(context.Background(), 9, []data.Customer{customer("a", value)}, Delivery{Source: "tables"})
			return err
		},
	}
	for table, commit := range commit {
		b := &raced{Bucket: NewMemory(), key: entryKey(Table(table), 0)}
		f, other := newFixture(t, b), newFixture(t, b.Bucket)
		f.runs = 10
		b.before = func() {
			if err := commit(other, other.begin(), "1"); err != nil {
				t.Fatal(err)
			}
		}
		if err := commit(f, f.begin(), "2"); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", table, err)
		}
		if got := keysIn(t, b, logFolder(Table(table))); len(got) != 1 {
			t.Errorf("%s: log %q", table, got)
		}
	}
}

func TestRollup_AnotherRunMayDoItFirst(t *testing.T) {
	b := &raced{Bucket: NewMemory(), key: entryKey(UsageDaily, 0)}
	f, other := newFixture(t, b), newFixture(t, b.Bucket)
	b.before = func() {
		if _, err := other.begin().Rollup(t.Context(), rollup); err != nil {
			t.Fatal(err)
		}
	}
	f.runs = 10
	_, daily := f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	if daily.Changed || daily.Version != 0 {
		t.Errorf("rollup = %+v, want nothing left to do", daily)
	}
	if diff := cmp.Diff([]string{"2026-11-20 tables//EUR - 1"}, partNames(f.view(), UsageDaily)); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

func TestRead_DamageIsNamedNeverAPanic(t *testing.T) {
	b := NewMemory()
	f := newFixture(t, b)
	if err := smallRun(t.Context(), f.Archive, "run", "1"); err != nil {
		t.Fatal(err)
	}
	v := f.view()
	for _, table := range DataTables() {
		key := v.Parts(table)[0].key(table)
		whole := b.files[key]
		damage := map[string][]byte{"empty": {}, "cut at the end": whole[:len(whole)-1], "cut in the middle": whole[:len(whole)/2], "longer": append(whole[:len(whole):len(whole)], 0)}
		for at := 0; at < len(whole); at += 1 + len(whole)/97 {
			flipped := append([]byte(nil), whole...)
			flipped[at] ^= 1 << (at % 8)
			damage[fmt.Sprintf("bit flipped at %d", at)] = flipped
		}
		for what, bytes := range damage {
			b.files[key] = bytes
			for _, err := range v.Scan(t.Context(), table, allDays) {
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), key) {
					t.Errorf("%s %s: %v, want ErrDamaged and the file's name", key, what, err)
				}
				break
			}
		}
		delete(b.files, key)
		for _, err := range v.Scan(t.Context(), table, allDays) {
			if err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s missing: %v", key, err)
			}
			break
		}
		b.files[key] = whole
	}
}

// TestRead_OfAColumnDamageIsNamedOrElsewhere has each column read alone: of what is damaged in
// another, the one that is read may not know.
func TestRead_OfAColumnDamageIsNamedOrElsewhere(t *testing.T) {
	t.Run("read once", func(t *testing.T) { damageColumns(t, defaultLoadedUpTo) })
	t.Run("read again", func(t *testing.T) { damageColumns(t, 0) })
	t.Run("several row groups", func(t *testing.T) { damageColumns(t, defaultLoadedUpTo, parquet.MaxRowsPerRowGroup(1)) })
}

func damageColumns(t *testing.T, loadedUpTo int64, options ...parquet.WriterOption) {
	b := NewMemory()
	f := newFixture(t, b)
	f.loadedUpTo = loadedUpTo
	for _, l := range f.layouts {
		l.options = append(l.options, options...)
	}
	if err := smallRun(t.Context(), f.Archive, "run", "1"); err != nil {
		t.Fatal(err)
	}
	v := f.view()
	read := func(table Table, column string) (string, error) {
		var values strings.Builder
		for rec, err := range v.Scan(t.Context(), table, allDays, column) {
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&values, rec.Column(0))
		}
		return values.String(), nil
	}
	for _, table := range DataTables() {
		key := v.Parts(table)[0].key(table)
		whole := b.files[key]
		footer := len(whole) - footerTail - int(binary.LittleEndian.Uint32(whole[len(whole)-footerTail:]))
		named, elsewhere := 0, 0
		for _, column := range f.layouts[table].arrow.Fields()[1:] {
			b.files[key] = whole
			want, err := read(table, column.Name)
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(whole); at += 1 + len(whole)/997 {
				b.files[key] = slices.Clone(whole)
				b.files[key][at] ^= 1 << (at % 8)
				got, err := read(table, column.Name)
				switch {
				case err != nil && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), key)):
					t.Errorf("%s %s, bit flipped at %d: %v, want ErrDamaged and the file's name", key, column.Name, at, err)
				case err != nil:
					named++
				case at >= footer:
					t.Errorf("%s %s: bit flipped at %d, in the footer: nothing is said", key, column.Name, at)
				case got != want:
					t.Errorf("%s %s, bit flipped at %d: %s instead of %s", key, column.Name, at, got, want)
				default:
					elsewhere++
				}
			}
		}
		if named == 0 || elsewhere == 0 {
			t.Errorf("%s: damage was named %d times, and was elsewhere %d times", key, named, elsewhere)
		}
		b.files[key] = whole
	}
}

// TestRead_WithoutHashesOfPiecesAllIsChecked is of small files and those of before: the log has one hash of each.
func TestRead_WithoutHashesOfPiecesAllIsChecked(t *testing.T) {
	b := NewMemory()
	f := newFixture(t, b)
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	l, p := f.layouts[UsageTable], f.view().Parts(UsageTable)[0]
	wanted, err := l.selectColumns([]string{"cost"})
	if err != nil {
		t.Fatal(err)
	}
	b.files[p.key(UsageTable)][5] ^= 1 // of the first column
	file, err := f.openFor(t.Context(), l, p, wanted, &reused{})
	if err != nil {
		t.Fatalf("damage of another column: %v", err)
	}
	if err := file.close(); err != nil {
		t.Fatal(err)
	}
	p.PieceSHA256 = ""
	if _, err := f.openFor(t.Context(), l, p, wanted, &reused{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want ErrDamaged", err)
	}
}

func TestOpen_AChangedLogIsNamed(t *testing.T) {
	b := NewMemory()
	f := newFixture(t, b)
	for i := range 3 {
		if err := smallRun(t.Context(), f.Archive, fmt.Sprint("run", i), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	first, second := entryKey(UsageTable, 0), entryKey(UsageTable, 1)
	check := func(what, key string, change func(c *Memory)) {
		t.Helper()
		c := copyOf(b)
		change(c)
		if _, err := Open(t.Context(), c, Options{}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v, want an error that names %s", what, err, key)
		}
	}
	for at := range b.files[second] {
		check(fmt.Sprint("bit flipped at ", at), second, func(c *Memory) {
			flipped := append([]byte(nil), c.files[second]...)
			flipped[at] ^= 1 << (at % 8)
			c.files[second] = flipped
		})
	}
	check("entry cut", second, func(c *Memory) { c.files[second] = c.files[second][:100] })
	check("entry missing", second, func(c *Memory) { delete(c.files, second) })
	check("first entry missing", first, func(c *Memory) { delete(c.files, first) })
	check("entries swapped", first, func(c *Memory) { c.files[first], c.files[second] = c.files[second], c.files[first] })
	check("entry of another program", second, func(c *Memory) { c.files[second] = []byte(`{"commitInfo":{"operation":"OPTIMIZE"}}`) })
	check("newer protocol", second, func(c *Memory) {
		c.files[second] = []byte(`{"protocol":{"minReaderVersion":3,"minWriterVersion":7}}`)
	})
	// An entry may be rewritten with a fitting hash of itself; the next one tells.
	check("rewritten history", second, func(c *Memory) {
		actions, _, err := decodeEntry(c.files[first])
		if err != nil {
			t.Fatal(err)
		}
		actions[0].CommitInfo.Run, actions[0].CommitInfo.Self = "forged", ""
		if c.files[first], err = encodeEntry(actions); err != nil {
			t.Fatal(err)
		}
	})
	// What other programs leave beside the log is not ours to judge.
	c := copyOf(b)
	for _, name := range []string{"_last_checkpoint", "00000000000000000001.crc", "00000000000000000001.checkpoint.parquet", "x.json"} {
		c.files[logFolder(UsageTable)+name] = []byte("?")
	}
	if _, err := Open(t.Context(), c, Options{}); err != nil {
		t.Errorf("other files beside the log: %v", err)
	}
}
