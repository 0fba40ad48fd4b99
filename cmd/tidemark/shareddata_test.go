//go:build shareddata

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFocusSample_ThroughTheCommands takes real billing data the user's way:
// extract, archive, metrics. The sums are Python's decimal's over the file.
func TestFocusSample_ThroughTheCommands(t *testing.T) {
	root := os.Getenv("TIDEMARK_SHARED_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	folder, err := filepath.Abs(filepath.Join(root, "focus"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "focus_sample.csv")); err != nil {
		t.Fatalf("%v: set TIDEMARK_SHARED_DATA to the folder that holds focus/focus_sample.csv, or test without -tags shareddata", err)
	}
	dir := t.TempDir()
	tidemark := func(args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), append([]string{"--config", filepath.Join(dir, "tidemark.yaml")}, args...),
			environment{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, now: time.Now})
		if code != 0 {
			t.Fatalf("%s ended with %d: %s", args, code, stderr.String())
		}
		return stdout.String()
	}
	configure := func(archive, providers string) {
		t.Helper()
		text := fmt.Sprintf("source: {kind: focus, path: %q, lenient: true, settle_days: 0%s}\narchive: {path: %s}\n", folder, providers, archive)
		if err := os.WriteFile(filepath.Join(dir, "tidemark.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	configure("all", ", providers: all")
	if out := tidemark("extract"); !strings.Contains(out, "1000 usage rows read") || strings.Contains(out, "quarantined") {
		t.Errorf("all providers: %s", out)
	}
	var doc struct {
		ByCategory []struct{ Category, Currency, Value string } `json:"cost_by_category"`
	}
	if err := json.Unmarshal([]byte(tidemark("metrics", "--period", "2024-09", "--format", "json")), &doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range doc.ByCategory {
		got[c.Category+" "+c.Currency] = c.Value
	}
	want := map[string]string{"AI and Machine Learning USD": "-0.15189756178", "Compute USD": "17.5647393447", "Databases USD": "1.12763032714",
		"Identity USD": "0.0041666667", "Integration USD": "0.0000858006", "Management and Governance USD": "0.2202095838",
		"Networking USD": "0.4917767346", "Other USD": "0.4627729809", "Security USD": "0.0089444445", "Storage USD": "0.79179840783"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("cost by category (-got +want):\n%s", diff)
	}

	configure("microsoft", "")
	if out := tidemark("extract"); !strings.Contains(out, " 51 usage rows read") || !strings.Contains(out, "left out in all: 949 rows") {
		t.Errorf("the default provider: %s", out)
	}
}
