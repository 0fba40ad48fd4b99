package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// contest is one line of the table: a set, what is computed of it, and the most
// that ours may take as a share of DuckDB's. A bar of 0 is none.
type contest struct {
	what   string
	set    set
	single bool
	bar    ratio
}

// contests are all lines; rows replaces the numbers of rows unless it is 0.
func contests(rows int64) []contest {
	with := func(name string, e encoding) set {
		s := set{Name: name, Shape: defaultShape(), Encoding: e}
		if rows > 0 {
			s.Shape.Rows = rows
		}
		return s
	}
	mixed := with("shuffled", ownProfile)
	mixed.Shuffled = true
	many := with("many", ownProfile)
	many.Shape.Subscriptions, many.Shape.Customers = 200_000, 20_000
	if rows == 0 {
		many.Shape.Rows = 19_000_000
	}
	base := with(baseSet, realArchive)
	foreign := ratio{wall: 0.4, cpu: 0.4}
	all := []contest{
		{"whole job, our archive", base, false, ratio{0.35, 0.30, 0.25}},
		{"shuffled rows", mixed, false, ratio{wall: 0.6, cpu: 0.6}},
		{"foreign: written by DuckDB", with("duckdb", byDuckDB), false, foreign},
		{"foreign: INT64 decimals, plain, zstd", with("int64", int64s), false, foreign},
		{"foreign: byte-array decimals", with("bytes", byteArrays), false, foreign},
		{"200,000 subscriptions", many, false, ratio{cpu: 0.7, peak: 1.0}},
		{"one sum by subscription, our archive", base, true, ratio{wall: 0.9, cpu: 0.9}},
	}
	for i := range all {
		if rows > 0 {
			all[i].bar = ratio{} // they are meant for the sets as stated
		}
	}
	return all
}

// outcome is a contest that was run.
type outcome struct {
	contest
	stored set    // as it is on disk
	shape  string // of the SQL that was fastest
	pairs  []pair // median of them counts
}

// runner runs contests.
type runner struct {
	folder string // of the data sets
	out    string // of results
	alone  string // the program that computes ours
	pairs  int
	tries  int // runs of each shape of SQL, to find the fastest
	log    func(format string, args ...any)
}

// run generates what is missing, compares the results, finds DuckDB's fastest
// shape and measures both sides by turns.
func (r *runner) run(ctx context.Context, c contest) (outcome, error) {
	o := outcome{contest: c}
	r.log("%s: set %s", c.what, c.set.Name)
	if _, _, err := child(ctx, c.set.args(r.folder)...); err != nil {
		return o, err
	}
	var err error
	if o.stored, err = readSet(r.folder, c.set.Name); err != nil {
		return o, err
	}
	o.stored.Files = nil // a small process, see child
	if o.shape, err = r.fastest(ctx, c); err != nil {
		return o, err
	}
	r.log("%s: the results agree; the peer is %s", c.what, o.shape)
	for i := range r.pairs {
		p, err := r.pair(ctx, c, o.shape, i%2 == 1)
		if err != nil {
			return o, err
		}
		o.pairs = append(o.pairs, p)
		r.log("%s: wall %.2f and %.2f s, CPU %.2f and %.2f s, peak %d and %d MiB", c.what, p.ours.wall.Seconds(), p.theirs.wall.Seconds(),
			p.ours.cpu.Seconds(), p.theirs.cpu.Seconds(), p.ours.peak>>20, p.theirs.peak>>20)
	}
	return o, nil
}

// args are those of the child that generates a set.
func (s *set) args(folder string) []string {
	return []string{"generate", "-data", folder, "-name", s.Name, "-rows", strconv.FormatInt(s.Shape.Rows, 10),
		"-subscriptions", strconv.Itoa(s.Shape.Subscriptions), "-customers", strconv.Itoa(s.Shape.Customers),
		"-encoding", string(s.Encoding), "-shuffled=" + strconv.FormatBool(s.Shuffled)}
}

// fastest has every shape of SQL compared with ours and returns the one that
// took the least wall time. What it takes to read the files the first time is
// no part of it: ours has read them before.
func (r *runner) fastest(ctx context.Context, c contest) (string, error) {
	if _, err := r.ours(ctx, c); err != nil {
		return "", err
	}
	best, least := "", time.Duration(0)
	for _, s := range c.shapes() {
		var took []cost
		for range r.tries {
			t, err := r.theirs(ctx, c, s)
			if err != nil {
				return "", err
			}
			took = append(took, t)
		}
		if _, _, err := child(ctx, "compare", "-ours", r.folderOf("ours"), "-theirs", r.folderOf("duckdb"), "-single="+strconv.FormatBool(c.single)); err != nil {
			return "", fmt.Errorf("shape %s: %w", s, err)
		}
		shortest := slices.MinFunc(took, func(a, b cost) int { return cmp.Compare(a.wall, b.wall) })
		r.log("%s: DuckDB, %s: wall %.2f s, CPU %.2f s, peak %d MiB", c.what, s, shortest.wall.Seconds(), shortest.cpu.Seconds(), shortest.peak>>20)
		if best == "" || shortest.wall < least {
			best, least = s, shortest.wall
		}
	}
	return best, nil
}

// shapes are the names of the shapes of SQL that can be the peer.
func (c contest) shapes() []string {
	if c.single {
		return []string{singleShape}
	}
	var names []string
	for _, s := range sqlShapes() {
		names = append(names, s.name)
	}
	return names
}

// singleShape is the only one of a single sum.
const singleShape = "plain"

func (r *runner) pair(ctx context.Context, c contest, shape string, swap bool) (p pair, err error) {
	if swap {
		if p.theirs, err = r.theirs(ctx, c, shape); err != nil {
			return p, err
		}
		p.ours, err = r.ours(ctx, c)
		return p, err
	}
	if p.ours, err = r.ours(ctx, c); err != nil {
		return p, err
	}
	p.theirs, err = r.theirs(ctx, c, shape)
	return p, err
}

func (r *runner) folderOf(side string) string { return filepath.Join(r.out, side) }

func (r *runner) ours(ctx context.Context, c contest) (cost, error) {
	return r.side(ctx, r.alone, c, "ours")
}

func (r *runner) theirs(ctx context.Context, c contest, shape string) (cost, error) {
	program, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	return r.side(ctx, program, c, "duckdb", "-shape", shape)
}

// side runs one side into a folder that is empty.
func (r *runner) side(ctx context.Context, program string, c contest, name string, more ...string) (cost, error) {
	folder := r.folderOf(name)
	if err := os.RemoveAll(folder); err != nil {
		return cost{}, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return cost{}, err
	}
	args := append([]string{name, "-data", r.folder, "-set", c.set.Name, "-out", folder, "-single=" + strconv.FormatBool(c.single)}, more...)
	took, _, err := childOf(ctx, program, args...)
	return took, err
}
