// Bench sets tidemark's transforms beside DuckDB on the same files: what both
// compute is compared first, then both run as processes of their own by turns.
//
//  1. [newPartner] makes a partner up from a seed; [set.generate] stores its usage,
//     as an archive or as files that others might have written, once;
//  2. [ours] computes a month's metrics from the raw rows as `tidemark metrics`
//     does; [theirs] has DuckDB compute the same in one of several shapes of SQL;
//     both write the same CSV;
//  3. [runner] compares the results, runs both sides by turns and judges the medians
//     of the ratios, pair by pair, by the bars of [contests]; [report] prints the table
//     of docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		stop()
		log.Fatal("bench: ", err)
	}
}

const usage = `usage: bench COMMAND [flags]

  run       generate what is missing, compare the results, measure by turns
  generate  store one data set
  ours      compute one set's results here
  duckdb    have DuckDB compute them
  compare   say where two folders of results differ
  version   print DuckDB's
  empty     do nothing but tell the peak of the process itself, in bytes

bench COMMAND -help tells the flags.
`

// run does what the arguments say.
func run(ctx context.Context, args []string, out io.Writer) error {
	commands := map[string]func(context.Context, []string, io.Writer) error{
		"generate": runGenerate,
		"run":      runContests,
		"ours":     runOurs,
		"duckdb":   runDuckDB,
		"compare":  runCompare,
		"version":  runVersion,
		"empty":    runEmpty,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("no such command\n%s", usage)
	}
	return commands[args[0]](ctx, args[1:], out)
}

// defaultFolder is where the data sets are, from the folder of this module: one
// that is not under version control.
const defaultFolder = "../../bin/bench"

// baseSet is the set that every other is a variant of.
const baseSet = "base"

// runGenerate stores one data set.
func runGenerate(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("generate", flag.ContinueOnError)
	folder := f.String("data", defaultFolder, "`folder` of the data sets")
	s := set{Shape: defaultShape()}
	f.StringVar(&s.Name, "name", baseSet, "of the set, and of its folder")
	f.IntVar(&s.Shape.Days, "days", s.Shape.Days, "how many days, from "+s.Shape.From.String())
	f.Int64Var(&s.Shape.Rows, "rows", s.Shape.Rows, "rows over all days, met to one in a hundred")
	f.IntVar(&s.Shape.Subscriptions, "subscriptions", s.Shape.Subscriptions, "how many")
	f.IntVar(&s.Shape.Customers, "customers", s.Shape.Customers, "how many")
	f.IntVar(&s.Shape.Meters, "meters", s.Shape.Meters, "how many")
	f.IntVar(&s.Shape.Each, "each", s.Shape.Each, "categories that one subscription uses; 0: any of all")
	f.Uint64Var(&s.Shape.Seed, "seed", s.Shape.Seed, "equal seeds give equal rows")
	f.BoolVar(&s.Shuffled, "shuffled", false, "rows of a day in any order; else as the archive sorts them")
	encoded := f.String("encoding", string(realArchive), "archive, profile (its files alone), duckdb, int64 or bytes (as others write them)")
	if err := f.Parse(args); err != nil {
		return err
	}
	s.Encoding = encoding(*encoded)
	if err := s.generate(ctx, *folder); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s: %d rows in %d files, %d bytes\n", s.Name, s.Stored, len(s.Files), s.Bytes)
	return err
}

// job holds the flags of what computes results.
type job struct {
	folder, set, out string
	single           bool
}

func jobFlags(f *flag.FlagSet) *job {
	j := &job{}
	f.StringVar(&j.folder, "data", defaultFolder, "`folder` of the data sets")
	f.StringVar(&j.set, "set", baseSet, "`name` of the data set")
	f.StringVar(&j.out, "out", ".", "`folder` for the results")
	f.BoolVar(&j.single, "single", false, "only sum(cost) by subscription")
	return j
}

// open reads the description of the job's set.
func (j *job) open() (set, error) {
	s, err := readSet(j.folder, j.set)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no set %s in %s: generate it", j.set, j.folder)
	}
	return s, err
}

// runDuckDB has DuckDB compute one set's results.
func runDuckDB(ctx context.Context, args []string, _ io.Writer) error {
	f := flag.NewFlagSet("duckdb", flag.ContinueOnError)
	j := jobFlags(f)
	name := f.String("shape", "staged", "of the SQL")
	if err := f.Parse(args); err != nil {
		return err
	}
	s, err := j.open()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(sqlShapes(), func(s sqlShape) bool { return s.name == *name })
	if at < 0 {
		return fmt.Errorf("there is no shape %q", *name)
	}
	return theirs{set: s, folder: j.folder, shape: sqlShapes()[at], out: j.out, single: j.single}.compute(ctx)
}

// runOurs computes one set's results here.
func runOurs(ctx context.Context, args []string, _ io.Writer) error {
	f := flag.NewFlagSet("ours", flag.ContinueOnError)
	j := jobFlags(f)
	profile := f.String("cpuprofile", "", "write where the time goes to this `file`")
	if err := f.Parse(args); err != nil {
		return err
	}
	s, err := j.open()
	if err != nil {
		return err
	}
	if *profile != "" {
		stop, err := startProfile(*profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	if !j.single {
		debug.SetGCPercent(50) // as tidemark metrics does
	}
	return ours{set: s, folder: j.folder, out: j.out, single: j.single}.compute(ctx)
}

// runCompare says where two folders of results differ.
func runCompare(_ context.Context, args []string, _ io.Writer) error {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	ours := f.String("ours", "", "`folder` of our results")
	theirs := f.String("theirs", "", "`folder` of DuckDB's")
	single := f.Bool("single", false, "only sum(cost) by subscription")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *single {
		return same(*ours, *theirs, []result{oneSum})
	}
	return same(*ours, *theirs, results())
}

// runContests measures.
func runContests(ctx context.Context, args []string, out io.Writer) (err error) {
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	folder := f.String("data", defaultFolder, "`folder` of the data sets")
	pairs := f.Int("pairs", 5, "how often both sides run, by turns")
	tries := f.Int("tries", 2, "runs of each shape of SQL, to find the fastest")
	rows := f.Int64("rows", 0, "`rows` of every set, for a quick look without bars, which wants another -data, as the sets there are made anew; a set has several a subscription at least; 0: as stated")
	only := f.String("only", "", "`names` of the sets, with commas; empty: all")
	alone := f.String("ours", "", "`program` that computes ours: this one built with the tag ours, without DuckDB; empty: this one")
	table := f.Bool("table", false, "print the table of docs/benchmarks.md")
	if err := f.Parse(args); err != nil {
		return err
	}
	results, err := os.MkdirTemp("", "tidemark-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(results)) }()
	if *alone == "" {
		if *alone, err = os.Executable(); err != nil {
			return err
		}
	}
	r := &runner{folder: *folder, out: results, alone: *alone, pairs: max(1, *pairs), tries: max(1, *tries), log: log.Printf}
	var outcomes []outcome
	for _, c := range contests(*rows) {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), c.set.Name) {
			continue
		}
		o, err := r.run(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		log.Printf("%s: %s", c.what, o.verdict())
		outcomes = append(outcomes, o)
	}
	if len(outcomes) == 0 {
		return fmt.Errorf("no set is named %q", *only)
	}
	if !*table {
		return nil
	}
	_, peak, err := childOf(ctx, *alone, "empty")
	if err != nil {
		return err
	}
	floor, err := strconv.ParseInt(string(peak), 10, 64)
	if err != nil {
		return err
	}
	_, version, err := child(ctx, "version")
	if err != nil {
		return err
	}
	return report(out, thisMachine(time.Now(), string(version), floor), outcomes)
}

// runEmpty prints the peak of memory of this process. What the kernel tells the parent may be that
// of the parent itself.
func runEmpty(_ context.Context, _ []string, out io.Writer) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		return fmt.Errorf("this system does not tell the peak of a process: %w", err)
	}
	_, err = fmt.Fprint(out, kilobytes<<10)
	return err
}

// startProfile begins to note where the time goes; stop ends it.
func startProfile(path string) (stop func(), err error) {
	to, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(to); err != nil {
		return nil, errors.Join(err, to.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		if err := to.Close(); err != nil {
			log.Print("write the profile: ", err)
		}
	}, nil
}
