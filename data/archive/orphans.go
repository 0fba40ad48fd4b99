package archive

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Orphan is an object that nothing refers to.
type Orphan struct {
	Key     string    `json:"key"`
	Size    int64     `json:"bytes"`
	ModTime time.Time `json:"modified"` // zero when the Bucket does not keep it
	Why     string    `json:"why"`
}

// Orphans lists what nothing refers to: unfinished files, and what a run left
// that died before its commit, or a prune before it deleted. Nothing of it is
// missed when it goes, but what a run that still goes on has begun is among it.
func Orphans(ctx context.Context, b Bucket) ([]Orphan, error) {
	v, err := referenced(ctx, b, 0)
	if err != nil {
		return nil, err
	}
	return v.orphans(ctx)
}

// referenced finds out what refers to what, without a look into data files.
func referenced(ctx context.Context, b Bucket, every int64) (*verifier, error) {
	v, err := newVerifier(ctx, b, VerifyOptions{Quick: true, CheckpointEvery: every})
	if err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{v.readRuns, v.logs, v.records, v.files, v.named, v.kept} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("look through archive: %w", err)
		}
	}
	return v, nil
}

func (v *verifier) orphans(ctx context.Context) ([]Orphan, error) {
	all := []Orphan{}
	for _, key := range slices.Sorted(maps.Keys(v.objects)) {
		why := ""
		switch {
		case v.gone[key]:
			why = "given up by a prune that did not come to delete it"
		case v.used[key] || v.bad[key] || strings.Contains(key, "/_delta_log/"):
			continue
		case strings.HasPrefix(key, "quarantine/"):
			why = "of a run that neither committed nor has a record"
		case slices.Contains([]string{"mails", "inputs", "models"}, folderOf(key)):
			why = "no row names it"
		case strings.HasSuffix(key, ".parquet"):
			why = "no commit added it"
		default:
			why = "it does not belong to the archive"
		}
		info := v.objects[key]
		all = append(all, Orphan{key, info.Size, info.ModTime, why})
	}
	for info, err := range v.bucket.List(ctx, Temporaries) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", Temporaries, err)
		}
		all = append(all, Orphan{info.Key, info.Size, info.ModTime, "unfinished"})
	}
	slices.SortFunc(all, func(a, b Orphan) int { return cmp.Compare(a.Key, b.Key) })
	return all, nil
}

func folderOf(key string) string {
	folder, _, _ := strings.Cut(key, "/")
	return folder
}
