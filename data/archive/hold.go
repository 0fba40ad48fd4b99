package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidemark/data"
)

// Hold keeps what it covers from being pruned, until it is lifted.
type Hold struct {
	ID      string     `json:"id"`
	Reason  string     `json:"reason"`
	Table   Table      `json:"table,omitempty"` // empty: every table
	From    *data.Day  `json:"from,omitempty"`  // nil: from the first day
	To      *data.Day  `json:"to,omitempty"`    // nil: to the last day
	Since   time.Time  `json:"since"`
	By      string     `json:"by"` // run that added it
	Lifted  *time.Time `json:"lifted,omitempty"`
	Because string     `json:"because,omitempty"` // why it was lifted
	Self    string     `json:"self"`              // SHA-256 of the file with self empty
}

// covers reports whether a day of a table is held.
func (h Hold) covers(t Table, d data.Day) bool {
	return h.Lifted == nil && (h.Table == "" || h.Table == t) && (h.From == nil || d >= *h.From) && (h.To == nil || d <= *h.To)
}

const holdFolder = "holds/"

func holdKey(id string) string   { return holdFolder + id + ".json" }
func liftedKey(id string) string { return holdFolder + id + ".lifted.json" }

// AddHold puts a hold into the archive. Its id, time and run are set here.
func (r *Run) AddHold(ctx context.Context, h Hold) (Hold, error) {
	h.Reason = strings.TrimSpace(h.Reason)
	switch {
	case r.ended:
		return h, errEnded
	case h.Reason == "":
		return h, errors.New("add hold: it needs a reason")
	case h.From != nil && h.To != nil && *h.From > *h.To:
		return h, fmt.Errorf("add hold: it ends on %s, before it begins on %s", *h.To, *h.From)
	case h.Table != "" && !slices.Contains(Tables(), h.Table):
		return h, fmt.Errorf("add hold: there is no table %q", h.Table)
	}
	h.Since, h.By = r.now(time.Time{}), r.info.ID
	for n := 1; ; n++ {
		h.ID = fmt.Sprintf("h-%s-%d", h.Since.Format("20060102"), n)
		err := r.putHold(ctx, holdKey(h.ID), h)
		if !errors.Is(err, errLost) {
			return h, err
		}
	}
}

// LiftHold ends a hold; its file stays, with another beside it that says why.
func (r *Run) LiftHold(ctx context.Context, id, because string) (Hold, error) {
	holds, err := r.archive.Holds(ctx)
	if err != nil {
		return Hold{}, err
	}
	at := slices.IndexFunc(holds, func(h Hold) bool { return h.ID == id })
	switch {
	case at < 0:
		return Hold{}, fmt.Errorf("remove hold %q: there is no such hold", id)
	case holds[at].Lifted != nil:
		return holds[at], fmt.Errorf("remove hold %s: it was removed on %s", id, holds[at].Lifted.Format(time.DateOnly))
	case strings.TrimSpace(because) == "":
		return holds[at], fmt.Errorf("remove hold %s: it needs a reason", id)
	}
	h := holds[at]
	h.Lifted, h.Because = new(r.now(time.Time{})), strings.TrimSpace(because)
	return h, r.putHold(ctx, liftedKey(id), h)
}

// putHold writes a hold's file, whose hash the record of the run will have.
func (r *Run) putHold(ctx context.Context, key string, h Hold) error {
	h.Self = ""
	b, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return err
	}
	b = withSelf(append(b, '\n'))
	if err := r.put(ctx, key, b); err != nil {
		return err
	}
	r.kept[key] = hexSum(b)
	return nil
}

// Holds returns every hold, lifted ones too, the oldest first.
func (a *Archive) Holds(ctx context.Context) ([]Hold, error) {
	byID := map[string]Hold{}
	for info, err := range a.bucket.List(ctx, holdFolder) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", holdFolder, err)
		}
		b, err := readAll(ctx, a.bucket, info.Key)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", info.Key, err)
		}
		var h Hold
		if err = json.Unmarshal(b, &h); err == nil {
			err = checkSelfHash(b, h.Self)
		}
		if err != nil { // never taken for no hold
			return nil, fmt.Errorf("read %s: %w: restore it from a copy", info.Key, err)
		}
		if old, found := byID[h.ID]; !found || old.Lifted == nil {
			byID[h.ID] = h
		}
	}
	holds := make([]Hold, 0, len(byID))
	for _, id := range sortedKeysOf(byID) {
		holds = append(holds, byID[id])
	}
	slices.SortStableFunc(holds, func(a, b Hold) int { return a.Since.Compare(b.Since) })
	return holds, nil
}
