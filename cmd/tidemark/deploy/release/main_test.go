package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var commit = time.Date(2026, 11, 26, 8, 0, 1, 0, time.UTC) // an odd second, which zip cannot say

// packed packs two programs into a new folder, under the root of the repository.
func packed(t *testing.T) string {
	t.Helper()
	t.Chdir("../../../..")
	dir := t.TempDir()
	var programs []string
	for platform, name := range map[string]string{"linux/arm64": "tidemark", "windows/amd64": "tidemark.exe"} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte("program of "+platform), 0o600); err != nil {
			t.Fatal(err)
		}
		programs = append(programs, platform+"="+file)
	}
	if err := release(dir, "1.2.0", commit, programs); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRelease_HoldsTheProgramAndWhatRunsIt(t *testing.T) {
	dir := packed(t)
	want := []string{"CHANGELOG.md", "LICENSE", "README.md", "deploy/Dockerfile", "deploy/tidemark.service", "deploy/tidemark.sysusers",
		"deploy/tidemark@.service", "deploy/tidemark@.timer", "examples/tidemark.yaml"}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil || !slices.Contains(pages, "docs/quickstart.md") {
		t.Fatal(pages, err)
	}
	want = append(want, pages...)
	for archive, program := range map[string]string{"tidemark-1.2.0-linux-arm64": "tidemark", "tidemark-1.2.0-windows-amd64": "tidemark.exe"} {
		files := map[string]string{}
		read := readTar
		if strings.Contains(archive, "windows") {
			read = readZip
		}
		read(t, filepath.Join(dir, archive), func(name, content string, mode os.FileMode, at time.Time) {
			inside, found := strings.CutPrefix(name, archive+"/")
			if !found || files[inside] != "" || at.Sub(commit).Abs() > 2*time.Second {
				t.Errorf("%s: %s of %s", archive, name, at)
			}
			if executable := mode&0o111 != 0; executable != (inside == program) {
				t.Errorf("%s: %s has mode %v", archive, inside, mode)
			}
			files[inside] = content
		})
		if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, slices.Sorted(slices.Values(append(slices.Clone(want), program)))) {
			t.Errorf("%s holds %q", archive, got)
		}
		if !strings.HasPrefix(files[program], "program of") || !strings.Contains(files["LICENSE"], "Apache License") {
			t.Errorf("%s: other contents", archive)
		}
	}
}

func readTar(t *testing.T, name string, each func(string, string, os.FileMode, time.Time)) {
	t.Helper()
	f, err := os.Open(name + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || h.Uid != 0 || h.Uname != "" {
			t.Fatalf("%s of %d %q: %v", h.Name, h.Uid, h.Uname, err)
		}
		each(h.Name, string(b), h.FileInfo().Mode(), h.ModTime)
	}
}

func readZip(t *testing.T, name string, each func(string, string, os.FileMode, time.Time)) {
	t.Helper()
	z, err := zip.OpenReader(name + ".zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		each(f.Name, string(b), f.Mode(), f.Modified)
	}
}

func TestRelease_EqualInputGivesEqualBytes(t *testing.T) {
	first, second := packed(t), ""
	t.Run("elsewhere", func(t *testing.T) {
		t.Chdir("cmd/tidemark/deploy/release")
		second = packed(t)
		names, err := filepath.Glob(filepath.Join(first, "*"))
		if err != nil || len(names) != 3 {
			t.Fatalf("%q, %v", names, err)
		}
		for _, name := range names {
			a, errA := os.ReadFile(name)
			b, errB := os.ReadFile(filepath.Join(second, filepath.Base(name)))
			if errA != nil || errB != nil || string(a) != string(b) {
				t.Errorf("%s: other bytes, %v, %v", filepath.Base(name), errA, errB)
			}
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
			}
		}
	})
	sums, err := os.ReadFile(filepath.Join(first, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	zip, err := os.ReadFile(filepath.Join(first, "tidemark-1.2.0-windows-amd64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if line := fmt.Sprintf("%x  tidemark-1.2.0-windows-amd64.zip\n", sha256.Sum256(zip)); !strings.Contains(string(sums), line) || strings.Count(string(sums), "\n") != 2 {
		t.Errorf("the checksums\n%slack\n%s", sums, line)
	}
}

func TestRelease_Refusals(t *testing.T) {
	dir := t.TempDir()
	for _, programs := range [][]string{nil, {"linux=x"}, {"linux/amd64"}, {"linux/amd64=" + filepath.Join(dir, "none")}} {
		if err := release(dir, "1", commit, programs); err == nil {
			t.Errorf("%q: no error", programs)
		}
	}
	if err := release(dir, "../1", commit, []string{"linux/amd64=x"}); err == nil {
		t.Error("a version with a path: no error")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}
