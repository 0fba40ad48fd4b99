package partnercenter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// page is one page of a collection of Partner Center.
type page[T any] struct {
	Items []T   `json:"items"`
	Next  *link `json:"next,omitempty"`
}

// link is the way to the next page: its address, and headers that all have to
// be sent along.
type link struct {
	URI     string `json:"uri"`
	Headers []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"headers"`
}

// readPage reads the page that a link leads to.
func readPage[T any](ctx context.Context, a *microsoft.API, at link) (page[T], error) {
	u, err := a.Resolve(at.URI)
	if err != nil {
		return page[T]{}, err
	}
	header := http.Header{}
	for _, h := range at.Headers {
		if strings.EqualFold(h.Key, "Authorization") || strings.EqualFold(h.Key, "Host") {
			continue // not the remote side's to set
		}
		header.Add(h.Key, h.Value)
	}
	var body struct {
		Items *[]T `json:"items"`
		Links struct {
			Next *link `json:"next"`
		} `json:"links"`
	}
	if _, err := a.Get(ctx, u, header, &body); err != nil {
		return page[T]{}, err
	}
	if body.Items == nil {
		return page[T]{}, &retry.GaveUp{Err: fmt.Errorf("GET %s: an answer without items", u.Path)}
	}
	if n := body.Links.Next; n != nil && n.URI == "" {
		body.Links.Next = nil
	}
	return page[T]{*body.Items, body.Links.Next}, nil
}

// maxPages bounds the pages of one collection, maxRepeats how often one of them
// is asked for.
const (
	maxPages   = 100_000
	maxRepeats = 3
)

var errEndless = errors.New("the pages lead in a circle")

// readAll follows the links of a collection from its first page. Pages that the
// checkpoint has are not read again; where the link on its last page has ended
// since, the collection is read anew.
func readAll[T any](ctx context.Context, a *microsoft.API, cp *checkpoint, first string) ([]T, error) {
	all, err := readRound[T](ctx, a, cp, first, "page ")
	var refused *retry.StatusError
	if cp.resumed && errors.As(err, &refused) && (refused.Status == http.StatusBadRequest || refused.Status == http.StatusNotFound || refused.Status == http.StatusGone) {
		return readRound[T](ctx, a, cp, first, "anew ")
	}
	return all, err
}

func readRound[T any](ctx context.Context, a *microsoft.API, cp *checkpoint, first, prefix string) ([]T, error) {
	var all []T
	asked := map[string]int{}
	for at := (link{URI: first}); ; {
		key := at.key()
		if asked[key]++; asked[key] > maxRepeats || len(asked) > maxPages {
			return nil, fmt.Errorf("read %s: %w", first, errEndless)
		}
		if n := asked[key]; n > 1 { // the page before came twice, with its link
			key = fmt.Sprintf("%s, time %d", key, n)
		}
		p, err := once(cp, prefix+key, func() (page[T], error) { return readPage[T](ctx, a, at) })
		if err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == nil {
			return all, nil
		}
		at = *p.Next
	}
}

// key tells two links apart.
func (l link) key() string {
	parts := []string{l.URI}
	for _, h := range l.Headers {
		parts = append(parts, h.Key+"="+h.Value)
	}
	return strings.Join(parts, " ")
}
