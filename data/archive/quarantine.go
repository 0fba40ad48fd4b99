package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"

	"tidemark/data"
)

// quarantine collects the bad rows of one table in a temporary file: there may
// be as many as good ones.
type quarantine struct {
	file   *os.File
	out    *bufio.Writer
	hash   hash.Hash
	rows   int64
	sha256 string // once it is in the archive
}

// quarantineLine is one line of quarantine/<run>/<table>.jsonl.
type quarantineLine struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Column string `json:"column,omitempty"`
	Value  string `json:"value,omitempty"`
	Bytes  []byte `json:"value_base64,omitempty"` // instead of Value when that is not valid UTF-8
	Reason string `json:"reason"`
}

// Quarantine keeps a row aside that could not be accepted. The rows of all
// tables come before the first commit.
func (r *Run) Quarantine(t Table, e *data.RowError) error {
	q, err := r.quarantineOf(t)
	if err != nil {
		return fmt.Errorf("quarantine %s: %w", t, err)
	}
	line := quarantineLine{File: e.File, Line: e.Line, Column: e.Column, Value: e.Value, Reason: e.Reason}
	if !utf8.ValidString(e.Value) {
		line.Value, line.Bytes = "", []byte(e.Value)
	}
	b, err := marshal(line)
	if err == nil {
		_, err = q.out.Write(append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("quarantine %s: %w", t, err)
	}
	q.rows++
	return nil
}

func (r *Run) quarantineOf(t Table) (*quarantine, error) {
	if q := r.quarantine[t]; q != nil {
		if q.sha256 != "" {
			return nil, errors.New("its file is already in the archive")
		}
		return q, nil
	}
	if r.ended {
		return nil, errEnded
	}
	folder, err := r.tempDir()
	if err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(folder, string(t)+".jsonl"))
	if err != nil {
		return nil, err
	}
	q := &quarantine{file: f, hash: sha256.New()}
	q.out = bufio.NewWriter(io.MultiWriter(f, q.hash))
	r.quarantine[t] = q
	return q, nil
}

// saveQuarantine puts the quarantine files into the archive. Commits, Finish and
// Refuse do it by themselves.
func (r *Run) saveQuarantine(ctx context.Context) error {
	if r.ended {
		return errEnded
	}
	for _, t := range Tables() {
		q := r.quarantine[t]
		if q == nil || q.sha256 != "" {
			continue
		}
		key := fmt.Sprintf("quarantine/%s/%s.jsonl", r.info.ID, t)
		if err := q.save(ctx, r.archive.bucket, key); err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
	}
	return nil
}

func (q *quarantine) save(ctx context.Context, b Bucket, key string) error {
	if err := q.out.Flush(); err != nil {
		return err
	}
	if _, err := q.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	object, err := b.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := io.Copy(object, q.file); err != nil {
		return errors.Join(err, object.Abort())
	}
	if err := object.Commit(); err != nil {
		return err
	}
	q.sha256 = hex.EncodeToString(q.hash.Sum(nil))
	return nil
}

func (q *quarantine) close() error { return q.file.Close() }
