package archive

import (
	"context"
	"iter"
	"slices"
	"testing"

	"tidemark/data"
)

// racing is a Bucket in which another run commits while somebody looks.
type racing struct {
	Bucket
	at   string
	race func()
}

func (r *racing) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	if race := r.race; prefix == r.at && race != nil {
		r.race = nil
		race()
	}
	return r.Bucket.List(ctx, prefix)
}

// TestView_IsAStateThatTheArchiveWasIn has a run commit to two tables while a view
// is between them.
func TestView_IsAStateThatTheArchiveWasIn(t *testing.T) {
	f, b := museum(t)
	slow := &racing{Bucket: b}
	a, err := Open(t.Context(), slow, Options{})
	if err != nil {
		t.Fatal(err)
	}
	slow.at, slow.race = logFolder(Subscriptions), func() {
		r := f.begin()
		if _, err := r.CommitCustomers(t.Context(), day("2026-11-24"), []data.Customer{customer("a", "a")}, Delivery{Source: "tables"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.usage(Delivery{Source: "tables", Days: days("2026-11-24", "2026-11-24")}, row("2026-11-24", "a", "3"))
	}
	v, err := a.View(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if seals := verifyMuseum(t, b).Seals; !slices.ContainsFunc(seals, func(s Sealed) bool { return s.Seal == v.Seal() }) {
		t.Errorf("the archive was never in the state of the view, %v", v.Versions())
	}
}
