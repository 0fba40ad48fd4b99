package partnercenter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// answered counts how often each thing was given out whole.
func (s *side) answered() map[string]int {
	n := map[string]int{}
	for _, r := range s.server.Requests() {
		if r.Status != 200 || r.Fault != "" || r.Host == fakemicrosoft.Login || strings.Contains(r.Path, "/operations/") || strings.Contains(r.Path, "/manifests/") {
			continue // what is asked for again on purpose
		}
		n[strings.Join([]string{r.Host, r.Method, r.Path, r.Query, r.Header.Get("MS-ContinuationToken")}, " ")]++
	}
	return n
}

// TestTime_OverAndOverAgain gives so little time that the extraction needs many
// runs. In the end all is read, and nothing twice.
func TestTime_OverAndOverAgain(t *testing.T) {
	s := newSide(t, fakemicrosoft.NewPartner(2, fakemicrosoft.Size{Customers: 90, Azure: 200, Days: 60, Today: start}), fakemicrosoft.Options{})
	s.options.TimeLimit, s.options.Parallel = 4*time.Second, 1
	for runs := 1; ; runs++ {
		source := s.source()
		inv, err := readInventory(t.Context(), source)
		var u usageRead
		for row, rowErr := range source.Usage(t.Context(), nil, &u.Tally) {
			if err != nil {
				break
			}
			if err = rowErr; err == nil {
				u.Rows = append(u.Rows, row)
			}
		}
		var unfinished *data.Unfinished
		switch {
		case errors.As(err, &unfinished) && runs < 60:
			if unfinished.Done == "" || !strings.Contains(unfinished.Error(), "run again") {
				t.Errorf("run %d: %v", runs, err)
			}
			continue
		case err != nil:
			t.Fatalf("run %d: %v", runs, err)
		}
		t.Logf("%d runs", runs)
		if runs < 3 {
			t.Errorf("%d runs: the time was not over often enough to show anything", runs)
		}
		s.isTruth(inv)
		s.isAllUsage(u)
		for what, n := range s.answered() {
			if n > 1 {
				t.Errorf("read %d times: %s", n, what)
			}
		}
		return
	}
}

func TestCheckpoint_BelongsToOneExtraction(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	s.inventory(s.source())
	before := s.server.Count(fakemicrosoft.API)
	s.inventory(s.source())
	if n := s.server.Count(fakemicrosoft.API) - before; n != 0 {
		t.Errorf("%d requests for what the checkpoint has", n)
	}
	t.Run("once it is done, all is read again", func(t *testing.T) {
		source := s.source()
		s.inventory(source)
		if err := source.Done(); err != nil {
			t.Fatal(err)
		}
		before := s.server.Count(fakemicrosoft.API)
		s.inventory(s.source())
		if s.server.Count(fakemicrosoft.API) == before {
			t.Error("nothing was read")
		}
	})
	t.Run("after a night it is too old", func(t *testing.T) {
		s.clock.at = s.clock.at.Add(21 * time.Hour)
		before := s.server.Count(fakemicrosoft.API)
		s.inventory(s.source())
		if s.server.Count(fakemicrosoft.API) == before {
			t.Error("nothing was read")
		}
	})
	t.Run("another currency is another extraction", func(t *testing.T) {
		s.options.Currencies = []string{"USD"}
		before := s.server.Count(fakemicrosoft.API)
		s.inventory(s.source())
		if s.server.Count(fakemicrosoft.API) == before {
			t.Error("nothing was read")
		}
	})
}

func TestCheckpoint_OfAFutureVersionIsRefused(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	if err := os.MkdirAll(s.options.Work, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.options.Work, "answers.jsonl")
	text := []byte(`{"version":2,"for":"who knows","started":"2026-11-25T02:00:00Z","more":true}` + "\n")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readInventory(t.Context(), s.source())
	if !errors.Is(err, errNewerCheckpoint) || !strings.Contains(err.Error(), path) {
		t.Errorf("err = %v", err)
	}
	if left, err := os.ReadFile(path); err != nil || string(left) != string(text) {
		t.Errorf("the file was changed: %q, %v", left, err)
	}
}

// TestCheckpoint_WhateverIsLeftOfIt cuts the file at every length, as a crash or
// a full disk would, and damages each byte: in the end the inventory is right.
func TestCheckpoint_WhateverIsLeftOfIt(t *testing.T) {
	s := newSide(t, fakemicrosoft.NewPartner(3, fakemicrosoft.Size{Customers: 3, Days: 3, Today: start}), fakemicrosoft.Options{})
	whole := s.inventory(s.source())
	path := filepath.Join(s.options.Work, "answers.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, left []byte) {
		t.Helper()
		if err := os.WriteFile(path, left, 0o600); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, s.inventory(s.source())); diff != "" {
			t.Fatalf("%s:\n%s", what, diff)
		}
	}
	for n := 0; n < len(text); n += 1 + n/20 {
		check(fmt.Sprintf("%d of %d bytes", n, len(text)), text[:n])
	}
}

func TestCheckpoint_HasOneUser(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	first := s.source()
	for range first.Customers(t.Context(), &data.Tally{}) {
		_, err := readInventory(t.Context(), s.source())
		if err == nil {
			break // the list is read before the first row: the folder is free again
		}
		t.Errorf("the folder is still held while rows are yielded: %v", err)
		break
	}
	_, end, err := first.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readInventory(t.Context(), s.source()); err == nil || !strings.Contains(err.Error(), "another extraction is running") {
		t.Errorf("err = %v", err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
}

func TestCheckpoint_HoldsNoSecret(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	source := s.source()
	s.inventory(source)
	s.usage(source, nil)
	files := 0
	err := filepath.WalkDir(s.options.Work, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %s", path, info.Mode())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range append(s.server.Secrets(), marker) {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files looked at, %v", files, err)
	}
}
