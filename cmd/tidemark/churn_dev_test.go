//go:build churn

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"tidemark/transform/churn"
)

// TestChurn_DevelopmentSetsTheUsersWay takes the development sets, real histories of
// accounts in the folder TIDEMARK_CHURN_DATA, the way of any other data: as a source of
// tables that is extracted, archived and backtested.
func TestChurn_DevelopmentSetsTheUsersWay(t *testing.T) {
	root := os.Getenv("TIDEMARK_CHURN_DATA")
	if root == "" {
		t.Fatal("TIDEMARK_CHURN_DATA names no folder; run `make test-churn CHURN_DATA=FOLDER`")
	}
	// AUC within date and ECE of the trained model, AUC within date of the prior.
	bars := map[string][3]float64{"cdnow": {.710, .045, .694}, "online_retail": {.727, .065, .660}, "git_ansible": {.848, .055, .833}, "collegemsg": {.5, .2, .5}}
	for name, bar := range bars {
		t.Run(name, func(t *testing.T) {
			set := readDevSet(t, filepath.Join(root, name))
			dir := t.TempDir()
			set.write(t, filepath.Join(dir, "in"))
			config := filepath.Join(dir, "tidemark.yaml")
			if err := os.WriteFile(config, []byte("source: {kind: tables, path: ./in, settle_days: 0}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			command := func(args ...string) []byte {
				var stdout, stderr bytes.Buffer
				started := time.Now()
				code := run(context.Background(), append([]string{"--config", config}, args...), environment{stdout: &stdout, stderr: &stderr,
					getenv: func(string) string { return "" }, now: time.Now})
				if code != 0 {
					t.Fatalf("%v ended with %d: %s", args, code, stderr.String())
				}
				t.Logf("%s took %v", args[0], time.Since(started).Round(time.Millisecond))
				return stdout.Bytes()
			}
			command("extract")
			raw := command("churn", "backtest", "--horizon", fmt.Sprint(set.H), "--watermark", set.Last, "--active-window", fmt.Sprint(set.Window),
				"--active-min", fmt.Sprint(set.Min), "--origins", filepath.Join(dir, "in", "origins.txt"), "--format", "json", "--predictions", filepath.Join(dir, "predictions.csv"))
			var got churn.Backtest
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			for model, m := range got.Models {
				t.Logf("%-10s AUC within %.4f pooled %.4f, PR-AUC %.4f, Brier %.4f, ECE %.4f, precision %.3f, lift %.3f, %d rows", model, *m.AUCWithin, *m.AUCPooled, *m.PRAUC, m.Brier, m.ECE, m.PrecisionTop10, *m.LiftTop10, m.Rows)
				if m.Rows != set.tests {
					t.Errorf("%s: %d rows, the set has %d", model, m.Rows, set.tests)
				}
			}
			trained, prior := got.Models["trained"], got.Models["prior"]
			if *trained.AUCWithin < bar[0] || trained.ECE > bar[1] || *prior.AUCWithin < bar[2] {
				t.Errorf("below the bars %v", bar)
			}
			f, err := os.Open(filepath.Join(dir, "predictions.csv"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			rows, err := csv.NewReader(f).ReadAll()
			if err != nil || len(rows) != 2*set.tests+1 {
				t.Errorf("%d lines of predictions, %v", len(rows), err)
			}
			for _, r := range rows[1:] {
				if want, found := set.labels[r[0]+" "+r[1]]; !found || want != r[3] {
					t.Fatalf("%v: the set says %q", r, want)
				}
			}
		})
	}
}

type devSet struct {
	H      int    `json:"H"`
	Window int    `json:"elig_window"`
	Min    int    `json:"elig_min"`
	First  string `json:"first"`
	Last   string `json:"last"`

	dir    string
	tests  int
	labels map[string]string // by account and day
}

func readDevSet(t *testing.T, dir string) *devSet {
	t.Helper()
	s := &devSet{dir: dir, labels: map[string]string{}}
	raw, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err == nil {
		err = json.Unmarshal(raw, s)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range readGzip(t, filepath.Join(dir, "labels.csv.gz"))[1:] {
		if row[4] == "1" {
			s.tests++
			s.labels[row[0]+" "+row[2]] = row[3]
		}
	}
	return s
}

func readGzip(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// write turns the set into a folder of tables, with the days of its test rows beside them.
func (s *devSet) write(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	usage := readGzip(t, filepath.Join(s.dir, "usage.csv.gz"))[1:]
	file := func(name string, header []string, rows func(write func(...string))) {
		var out bytes.Buffer
		w := csv.NewWriter(&out)
		put := func(row ...string) { _ = w.Write(row) } // into memory
		put(header...)
		rows(put)
		w.Flush()
		if err := os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	accounts := map[string]bool{}
	for _, row := range usage {
		accounts[row[0]] = true
	}
	var ids []string
	for id := range accounts {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	file("customers.csv", []string{"customer_id", "name"}, func(write func(...string)) {
		for _, id := range ids {
			write("c-"+id, "Customer "+id)
		}
	})
	file("subscriptions.csv", []string{"subscription_id", "customer_id", "status"}, func(write func(...string)) {
		for _, id := range ids {
			write(id, "c-"+id, "active")
		}
	})
	file("usage.csv", []string{"usage_date", "customer_id", "subscription_id", "category", "quantity", "cost", "currency"}, func(write func(...string)) {
		for _, row := range usage {
			write(row[1], "c-"+row[0], row[0], row[2], row[3], row[4], "EUR")
		}
	})
	days := map[string]bool{}
	var origins bytes.Buffer
	for key := range s.labels {
		if day := key[len(key)-10:]; !days[day] {
			days[day] = true
			fmt.Fprintln(&origins, day)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "origins.txt"), origins.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
