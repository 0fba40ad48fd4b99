package archive

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"tidemark/data"
)

// whileListed is a Bucket in which something happens after so many keys of a
// listing, which then goes on with what comes after them.
type whileListed struct {
	Bucket
	keys    int
	happens func()
}

func (b *whileListed) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		listed, last := 0, ""
		for info, err := range b.Bucket.List(ctx, prefix) {
			if listed == b.keys && b.happens != nil {
				break
			}
			if listed, last = listed+1, info.Key; !yield(info, err) {
				return
			}
		}
		happens := b.happens
		if happens == nil {
			return
		}
		b.happens = nil
		happens()
		for info, err := range b.Bucket.List(ctx, prefix) {
			if info.Key > last && !yield(info, err) {
				return
			}
		}
	}
}

// TestVerify_BlamesNoRunThatGoesOn has a whole run begin and end between each two
// keys of the listing, and others end while the files are read.
func TestVerify_BlamesNoRunThatGoesOn(t *testing.T) {
	_, sound := museum(t)
	for keys := range len(sound.files) {
		f, b := museum(t)
		slow := &whileListed{Bucket: b, keys: keys, happens: func() {
			r := f.begin()
			f.stage(r, "tables", row("2026-11-23", "a", "10"))
			if _, err := r.CommitUsage(t.Context(), Delivery{Source: "tables", Days: days("2026-11-23", "2026-11-23")}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Rollup(t.Context(), rollup); err != nil {
				t.Fatal(err)
			}
			if _, err := r.CommitCustomers(t.Context(), day("2026-11-24"), []data.Customer{customer("a", "a")}, Delivery{Source: "tables"}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
		}}
		for _, finding := range verifyMuseum(t, slow).Findings {
			t.Errorf("a run during the listing, after %d keys: %v", keys, finding)
		}
		if slow.happens != nil {
			t.Fatal("no run ended during the listing")
		}
	}

	f, b := museum(t)
	r := f.begin()
	if _, err := r.CommitCustomers(t.Context(), day("2026-11-24"), []data.Customer{customer("a", "a")}, Delivery{Source: "tables"}); err != nil {
		t.Fatal(err)
	}
	out, err := Verify(t.Context(), b, VerifyOptions{CheckpointEvery: 2, Progress: func(done, total int64) {
		if done < total {
			return
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 3 { // past the next checkpoint
			f.usage(Delivery{Source: "tables", Days: days("2026-11-23", "2026-11-23")}, row("2026-11-23", "a", fmt.Sprint(20+i)))
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range out.Findings {
		t.Errorf("runs that end while the files are read: %v", finding)
	}
}
