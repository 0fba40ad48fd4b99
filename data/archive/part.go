package archive

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"time"

	"tidemark/data"
)

// Feed is one stream of usage that is restated as a whole.
type Feed struct {
	Source   string // kind of the source, e.g. "focus"
	Scope    string // billing account, customer or export; empty for the source as one
	Currency string // ISO 4217; empty only for a day without usage
}

// String returns "source/scope/currency", each percent-encoded where it has to
// be, so that two feeds never share a text.
func (f Feed) String() string {
	return url.PathEscape(f.Source) + "/" + url.PathEscape(f.Scope) + "/" + url.PathEscape(f.Currency)
}

// MarshalText writes the form of String.
func (f Feed) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// ParseFeed reads the form of String.
func ParseFeed(s string) (Feed, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return Feed{}, fmt.Errorf("feed %q: want source/scope/currency", s)
	}
	for i, p := range parts {
		text, err := url.PathUnescape(p)
		if err != nil {
			return Feed{}, fmt.Errorf("feed %q: %w", s, err)
		}
		parts[i] = text
	}
	return Feed{parts[0], parts[1], parts[2]}, nil
}

// Part is one active file of a table. Day, Feed and BillingPeriod are its
// identity: a table never has two active parts that share them.
type Part struct {
	Day           data.Day `json:"day"`
	Feed          Feed     `json:"feed"`
	BillingPeriod string   `json:"billing_period"` // empty when the rows have none

	Path          string   `json:"path"`  // below the table's folder
	Size          int64    `json:"bytes"` // bytes
	Rows          int64    `json:"rows"`
	SHA256        string   `json:"sha256"`         // of the file
	ContentSHA256 string   `json:"content_sha256"` // of the canonical text of its sorted rows
	FromSHA256    string   `json:"from_sha256"`    // usage_daily: SHA256 of the usage file it was rolled up from; usage_past: of the days and SHA256 of the usage_daily files up to Day
	Sums          []Sum    `json:"sums"`           // per amount column and currency, in the order of both
	Coverage      Coverage `json:"coverage"`

	// Awaits is the scope that is behind on a day which therefore does not count as
	// extracted; empty but for parts without rows that say just that.
	Awaits string `json:"awaits,omitempty"`

	// PieceSHA256 are the hashes of the file's pieces: first of the footer, which says where the
	// others lie, then of each column in the order of the file, its chunks in the order of the row
	// groups; base64, one space apart. Who reads some columns checks these pieces alone. It is
	// empty for a small file, and where the program that wrote it did not state it; then all of it is
	// checked.
	PieceSHA256 string `json:"-"`

	AsOf time.Time `json:"as_of,omitzero"` // usage only: when the remote side made what the rows are from; zero where it does not say

	// SomeDays says that the rows were read as one of some days, not with the rest of
	// their billing period. Usage only.
	SomeDays bool `json:"some_days,omitempty"`
}

// Sum is the sum of one amount column of a part in one currency.
type Sum struct {
	Column   string       `json:"column"`
	Currency string       `json:"currency"`
	Amount   data.Decimal `json:"amount"`
}

// Coverage says how many customers a source was asked for and gave.
type Coverage struct {
	Expected int `json:"expected"`
	Read     int `json:"read"`   // as a whole
	Failed   int `json:"failed"` // not as a whole; a bad row counts as one
}

// Complete reports whether no customer is missing.
func (c Coverage) Complete() bool { return c.Failed == 0 && c.Read >= c.Expected }

// says reports whether two coverages tell the same of what is missing. That
// there are more customers than before is no news about rows that did not change.
func (c Coverage) says(o Coverage) bool {
	return c.Failed == o.Failed && c.Complete() == o.Complete()
}

// partID is what two parts of a table never share.
type partID struct {
	day     data.Day
	feed    Feed
	billing string
}

func (p Part) id() partID { return partID{p.Day, p.Feed, p.BillingPeriod} }

// knownContent is the content hash of a part that need not be written again when
// a delivery of this coverage has equal content; empty when it has to.
func (p Part) knownContent(c Coverage) string {
	if !p.Coverage.says(c) {
		return ""
	}
	return p.ContentSHA256
}

func compareIDs(a, b partID) int {
	return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.feed.Source, b.feed.Source),
		cmp.Compare(a.feed.Scope, b.feed.Scope), cmp.Compare(a.feed.Currency, b.feed.Currency),
		cmp.Compare(a.billing, b.billing))
}

func compareParts(a, b Part) int {
	return cmp.Or(compareIDs(a.id(), b.id()), cmp.Compare(a.Path, b.Path))
}
