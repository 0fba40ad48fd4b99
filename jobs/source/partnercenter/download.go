package partnercenter

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"tidemark/data"
	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// blobFile is a blob on disk that was read to its end once: it is whole.
type blobFile struct {
	Path   string           `json:"-"`
	Name   string           `json:"name"`   // as the manifest has it, for messages
	Size   int64            `json:"size"`   // bytes, compressed
	Lines  int64            `json:"lines"`  // not empty
	Months map[string]int64 `json:"months"` // how many lines have their ChargeStartDate in a month, e.g. "2026-11"

	Currency string `json:"currency"` // BillingCurrency of the first line that has one

	Days map[string]bool `json:"days"` // UsageDates, e.g. "2026-11-01", as far as they are written so
}

// feed is an export on disk.
type feed struct {
	export
	etag   string
	blobs  []blobFile
	period string // billing period, e.g. "2026-11"
}

// maxRounds is how often an export that changes while it is downloaded is begun
// anew.
const maxRounds = 4

// fetch downloads an export. A signature that ends, or an export that changes
// meanwhile, has the manifest asked for again; one that gets no further by that is
// ordered anew. The feed is nil for an export without data.
func (s *Source) fetch(ctx context.Context, e export) (*feed, error) {
	before := ""
	for range maxRounds {
		s.stopped = fmt.Sprintf("%s is not prepared yet", e)
		m, err := s.prepare(ctx, e)
		if errors.Is(err, errNoData) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e, err)
		}
		f, whole, err := s.download(ctx, e, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e, err)
		}
		if whole {
			return f, nil
		}
		reached := fmt.Sprintf("%s, %d blobs", m.ETag, len(f.blobs))
		if reached == before {
			if err := s.cp.forget(e.key()); err != nil {
				return nil, err
			}
		}
		before = reached
	}
	return nil, fmt.Errorf("%s: its signature ended or it changed %d times while it was downloaded: run again later", e, maxRounds)
}

// stale tells the refusals of a blob that a new manifest may mend: the signature
// has ended, or the export was made anew.
func stale(status int) bool {
	return status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusPreconditionFailed || status == http.StatusRequestedRangeNotSatisfiable
}

// download has every blob of the manifest on disk; whole is false when the manifest
// has to be asked for again.
func (s *Source) download(ctx context.Context, e export, m *manifest) (f *feed, whole bool, err error) {
	f = &feed{export: e, etag: string(m.ETag)}
	for i, b := range m.Blobs {
		s.stopped = fmt.Sprintf("%d of %d blobs of %s are read", i, len(m.Blobs), e)
		blob, err := s.blob(ctx, e, m, b.Name)
		var refused *retry.StatusError
		if errors.As(err, &refused) && stale(refused.Status) {
			return f, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("blob %q: %w", microsoft.Shorten(b.Name), err)
		}
		f.blobs = append(f.blobs, blob)
		s.progress(e.String(), i+1, len(m.Blobs))
	}
	return f, true, nil
}

// blob has one blob on disk. The export's eTag is part of the file's name: a new
// version of the data is another file.
func (s *Source) blob(ctx context.Context, e export, m *manifest, name string) (blobFile, error) {
	sum := sha256.Sum256([]byte(strings.Join([]string{e.String(), string(m.ETag), m.Root, name}, "\x00")))
	path := filepath.Join(s.cp.blobs(), hex.EncodeToString(sum[:16])+".json.gz")
	if b, ok := readFacts(path); ok {
		return b, nil
	}
	u, err := m.blobURL(name)
	if err != nil {
		return blobFile{}, err
	}
	part := path + ".part"
	b := blobFile{Path: path, Name: name, Months: map[string]int64{}, Days: map[string]bool{}}
	if err := s.save(ctx, u, part); err != nil {
		return b, err
	}
	if err := b.inspect(part); err != nil {
		return b, errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return b, err
	}
	facts, err := json.Marshal(b)
	if err != nil {
		return b, err
	}
	return b, data.ReplaceFile(factsPath(path), facts, 0o600)
}

func factsPath(path string) string { return path + ".facts" }

// readFacts returns a blob that is on disk already.
func readFacts(path string) (blobFile, bool) {
	b := blobFile{}
	text, err := os.ReadFile(factsPath(path))
	if err != nil || json.Unmarshal(text, &b) != nil {
		return b, false
	}
	info, err := os.Stat(path)
	b.Path = path
	return b, err == nil && info.Size() == b.Size
}

// save downloads to a file. After a try that broke off only the rest is asked
// for.
func (s *Source) save(ctx context.Context, u *url.URL, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	have, etag := int64(0), ""
	r := retry.Request{URL: u, Prepare: func(h http.Header) {
		if have > 0 && etag != "" {
			h.Set("Range", fmt.Sprintf("bytes=%d-", have))
			h.Set("If-Match", etag)
		}
	}}
	err = s.blobs.Do(ctx, r, func(resp *http.Response) error {
		if resp.StatusCode != http.StatusPartialContent {
			have = 0
		}
		etag = resp.Header.Get("ETag")
		if err := f.Truncate(have); err != nil {
			return err
		}
		n, err := io.Copy(io.NewOffsetWriter(f, have), resp.Body)
		have += n
		return err
	})
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// inspect reads the file to its end, which proves it whole, and notes what it
// holds.
func (b *blobFile) inspect(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	if info, err := f.Stat(); err == nil {
		b.Size = info.Size()
	}
	return eachLine(f, func(line []byte) error {
		b.Lines++
		month, currency := periodOf(line)
		if b.Months[month]++; month == "" {
			delete(b.Months, "")
		}
		b.Currency = cmp.Or(b.Currency, currency)
		if day := textIn(line, "UsageDate", len("2026-11-01")); day != "" && !b.Days[day] && len(b.Days) < maxUsageDays {
			b.Days[day] = true
		}
		return nil
	})
}

// maxUsageDays bounds the days that are noted of a file.
const maxUsageDays = 1000

// maxLine bounds one line, a JSON object of some fifty fields.
const maxLine = 4 << 20

// eachLine calls read for every line that is not empty of compressed text.
func eachLine(r io.Reader, read func(line []byte) error) error {
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(r, 1<<16))
	if err != nil {
		return fmt.Errorf("not gzip: %w", err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	for lines.Scan() {
		if line := microsoft.WithoutBOM(lines.Bytes()); len(line) > 0 {
			if err := read(line); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// blobSize asks how large a blob is.
func (s *Source) blobSize(ctx context.Context, m *manifest, name string) (int64, error) {
	u, err := m.blobURL(name)
	if err != nil {
		return 0, err
	}
	size := int64(0)
	err = s.blobs.Do(ctx, retry.Request{Method: http.MethodHead, URL: u}, func(resp *http.Response) error {
		size = max(resp.ContentLength, 0)
		return nil
	})
	return size, err
}
