package transform

import (
	"encoding/csv"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"tidemark/data"
)

// TestMetrics_HandComputedCases runs the files in testdata: the rows of a
// portfolio as CSV, and the tables that were worked out for them by hand.
func TestMetrics_HandComputedCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			for _, f := range archive.Files {
				files[f.Name] = string(f.Data)
			}
			mem, done := checked(t)
			defer done()
			in, release := caseWorld(t, files).inputs(mem, 5)
			defer release()
			in.Details = true
			tables, err := Metrics(mem, in)
			if err != nil {
				t.Fatal(err)
			}
			defer tables.Release()
			if diff := cmp.Diff(strings.Split(strings.TrimSpace(files["want"]), "\n"), tables.lines()); diff != "" {
				t.Errorf("tables (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(strings.Split(strings.TrimSpace(files["details"]), "\n"), tables.Details.lines()); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
		})
	}
}

func caseWorld(t *testing.T, files map[string]string) world {
	t.Helper()
	var w world
	for line := range strings.Lines(files["inputs"]) {
		words := strings.Fields(line)
		switch words[0] {
		case "period":
			w.period = mustPeriod(words[1])
		case "watermark":
			w.watermark = new(mustDay(words[1]))
		case "extracted":
			for _, d := range words[1:] {
				w.extracted = append(w.extracted, mustDay(d))
			}
		default:
			t.Fatalf("inputs: %q", line)
		}
	}
	at := func(d data.Day) *worldSnapshot {
		if n := len(w.snapshots); n == 0 || w.snapshots[n-1].day < d {
			w.snapshots = append(w.snapshots, worldSnapshot{day: d})
		}
		for i := range w.snapshots {
			if w.snapshots[i].day == d {
				return &w.snapshots[i]
			}
		}
		t.Fatalf("snapshot %s is not in order", d)
		return nil
	}
	caseRows(t, files["customers.csv"], func(d data.Day, c data.Customer) { at(d).customers = append(at(d).customers, c) })
	caseRows(t, files["subscriptions.csv"], func(d data.Day, x data.Subscription) { at(d).subscriptions = append(at(d).subscriptions, x) })
	caseRows(t, files["usage_daily.csv"], func(d data.Day, r data.UsageDaily) {
		r.Day = d
		w.daily = append(w.daily, r)
	})
	return w
}

// caseRows reads CSV into rows by the names of their Parquet tags; the first
// column is the day.
func caseRows[T any](t *testing.T, text string, row func(data.Day, T)) {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{}
	for i := range reflect.TypeFor[T]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[T]().Field(i).Tag.Get("parquet"), ",")
		place[name] = i
	}
	for _, record := range records[1:] {
		var v T
		for i, cell := range record[1:] {
			at, found := place[records[0][i+1]]
			if !found {
				t.Fatalf("no column %s", records[0][i+1])
			}
			setCell(t, reflect.ValueOf(&v).Elem().Field(at), cell)
		}
		row(mustDay(record[0]), v)
	}
}

func setCell(t *testing.T, v reflect.Value, cell string) {
	t.Helper()
	if v.Kind() == reflect.Pointer {
		if cell == "" {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch v.Addr().Interface().(type) {
	case *data.Decimal:
		v.Set(reflect.ValueOf(*dec(cell)))
		return
	case *data.Day:
		v.Set(reflect.ValueOf(mustDay(cell)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(cell)
	case reflect.Int64:
		n, err := strconv.ParseInt(cell, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		v.SetInt(n)
	default:
		t.Fatalf("no cell for %s", v.Type())
	}
}
