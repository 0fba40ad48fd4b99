package entra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"tidemark/data"
	"tidemark/jobs/microsoft"
)

// DefaultMaxAge is how long the last good list stands in for one that cannot be read.
const DefaultMaxAge = 7 * 24 * time.Hour

// Keeper reads the directory, keeps what it read in a file, and gives that for a
// while when the directory cannot be read.
type Keeper struct {
	*Directory
	Path   string        // of the file
	MaxAge time.Duration // 0 means DefaultMaxAge
	Look   bool          // nothing is kept
}

// Answer is a list, and what there is to say about it.
type Answer struct {
	List
	Failed   error    // why the list is the last good one and not a new one; nil: it was read now
	Before   *List    // the last good list; nil: there is none that answers the same question
	Warnings []string // for the operator
}

// Read reads the list, or gives the last good one with a warning that says since
// when. It is an error when neither can be had, or the last one is too old.
func (k Keeper) Read(ctx context.Context) (Answer, error) {
	before, badCache := k.last()
	list, err := k.Directory.Read(ctx)
	a := Answer{List: list, Before: before, Failed: err}
	switch {
	case err == nil:
		if err := k.keep(list); err != nil {
			a.Warnings = append(a.Warnings, fmt.Sprintf("the recipients are read, but cannot be kept for a day without Microsoft Graph: %v", err))
		}
		a.Warnings = append(a.Warnings, list.odd()...)
		return a, nil
	case ctx.Err() != nil:
		return a, ctx.Err()
	case badCache != nil:
		return a, fmt.Errorf("%w; the last list cannot be used either: %w", err, badCache)
	case before == nil:
		return a, err
	}
	most := k.MaxAge
	if most == 0 {
		most = DefaultMaxAge
	}
	since := before.At.Format(time.RFC3339)
	if k.Now().Sub(before.At) > most {
		return a, fmt.Errorf("%w; the last list is of %s, which is older than recipients.entra.max_age (%s)", err, since, most)
	}
	a.List = *before
	a.Warnings = append([]string{fmt.Sprintf("the recipients are those of %s, since Microsoft Entra cannot be read: %v", since, err)}, before.odd()...)
	return a, nil
}

// odd are the warnings about people who are left out and should not be.
func (l List) odd() (warnings []string) {
	for _, role := range sortedRoles(l.Roles) {
		for _, o := range l.Roles[role].LeftOut {
			if o.Odd {
				warnings = append(warnings, fmt.Sprintf("%s is %s and gets no mail: %s", microsoft.Shorten(o.Name), role, o.Why))
			}
		}
	}
	return warnings
}

// last is the list that is kept; nil where none answers this question.
func (k Keeper) last() (*List, error) {
	b, err := os.ReadFile(k.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var l List
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("read %s: %w", k.Path, err)
	}
	if !l.Asked.same(k.Question) {
		return nil, nil
	}
	return &l, nil
}

func (k Keeper) keep(l List) error {
	if k.Look {
		return nil
	}
	b, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return err
	}
	return data.ReplaceFile(k.Path, append(b, '\n'), 0o600)
}
