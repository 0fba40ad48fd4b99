// Release packs builds of tidemark: for each platform an archive with the program, its
// licences and what runs it as a service, and one file with the checksums of all.
//
// Equal input gives equal bytes, wherever it is packed: names are sorted, every file has
// the time of the commit and no owner, and compressed data names no machine.
//
//	release -out bin/release -version 1.2.0 -time 1763971200 linux/amd64=bin/build/linux-amd64/tidemark …
package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	out := flag.String("out", "", "folder `DIR` for the archives")
	version := flag.String("version", "", "`VERSION` in their names")
	at := flag.Int64("time", 0, "`SECONDS` since 1970 at which the commit was made")
	flag.Parse()
	if err := release(*out, *version, time.Unix(*at, 0).UTC(), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// beside are the files that stand in every archive next to the program, by their names there.
func beside() map[string]string {
	return map[string]string{
		"LICENSE":                  "LICENSE",
		"README.md":                "README.md",
		"CHANGELOG.md":             "CHANGELOG.md",
		"deploy/tidemark.service":  "cmd/tidemark/deploy/tidemark.service",
		"deploy/tidemark@.service": "cmd/tidemark/deploy/tidemark@.service",
		"deploy/tidemark@.timer":   "cmd/tidemark/deploy/tidemark@.timer",
		"deploy/Dockerfile":        "cmd/tidemark/deploy/Dockerfile",
		"deploy/tidemark.sysusers": "cmd/tidemark/deploy/tidemark.sysusers",
		"examples/tidemark.yaml":   "cmd/tidemark/starter/tidemark.yaml",
	}
}

// release packs the programs, each given as PLATFORM=FILE.
func release(out, version string, at time.Time, programs []string) error {
	if out == "" || version == "" || strings.ContainsAny(version, "/\\ ") || len(programs) == 0 {
		return fmt.Errorf("want -out, -version and at least one PLATFORM=FILE")
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var sums []string
	for _, program := range programs {
		platform, file, found := strings.Cut(program, "=")
		goos, arch, both := strings.Cut(platform, "/")
		if !found || !both {
			return fmt.Errorf("%q: want PLATFORM=FILE, e.g. linux/amd64=tidemark", program)
		}
		root := fmt.Sprintf("tidemark-%s-%s-%s", version, goos, arch)
		name, pack := root+".tar.gz", packTar
		if goos == "windows" {
			name, pack = root+".zip", packZip
		}
		files, err := contents(file)
		if err != nil {
			return err
		}
		sum, err := write(filepath.Join(out, name), func(w io.Writer) error { return pack(w, root, at, files) })
		if err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
		sums = append(sums, fmt.Sprintf("%x  %s\n", sum, name))
	}
	slices.Sort(sums)
	_, err := write(filepath.Join(out, "SHA256SUMS"), func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(sums, ""))
		return err
	})
	return err
}

// member is one file of an archive.
type member struct {
	name    string
	content []byte
	mode    int64
}

// contents are the files of an archive, in the order of their names.
func contents(program string) ([]member, error) {
	b, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	files := []member{{filepath.Base(program), b, 0o755}}
	all := beside()
	pages, err := filepath.Glob("docs/*.md") // which the README links to
	if err != nil || len(pages) == 0 {
		return nil, errors.Join(err, errors.New("find docs: none here; run it at the top of the source"))
	}
	for _, page := range pages {
		all[filepath.ToSlash(page)] = page
	}
	for name, from := range all {
		if b, err = os.ReadFile(filepath.FromSlash(from)); err != nil {
			return nil, err
		}
		files = append(files, member{name, b, 0o644})
	}
	slices.SortFunc(files, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

// write writes a file under its name only when it is complete, and returns its SHA-256.
func write(name string, fill func(io.Writer) error) (sum []byte, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".release-*")
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	err = fill(io.MultiWriter(f, hash))
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error before it is the one to tell
	}
	return hash.Sum(nil), err
}

func packTar(w io.Writer, root string, at time.Time, files []member) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	out := tar.NewWriter(zipped)
	for _, f := range files {
		h := &tar.Header{Name: path.Join(root, f.name), Mode: f.mode, Size: int64(len(f.content)), ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := out.Write(f.content); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func packZip(w io.Writer, root string, at time.Time, files []member) error {
	out := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: path.Join(root, f.name), Method: zip.Deflate, Modified: at}
		h.SetMode(os.FileMode(f.mode))
		part, err := out.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := part.Write(f.content); err != nil {
			return err
		}
	}
	return out.Close()
}
