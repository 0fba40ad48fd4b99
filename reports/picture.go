package reports

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tidemark/reports/chart/raster"
)

// Picture is a chart of the mail. Its title is what it shows, and everything in
// it that matters stands beside it in words: many readers see no pictures.
type Picture struct {
	ID     string // "cost_by_day_EUR", also the content id of the image
	Title  string // the finding, e.g. "Azure-inkoop 12 % lager dan in 30 okt–5 nov"
	Text   string // its numbers in words
	Alt    string // both, for whoever does not see the image
	Option json.RawMessage
	Shown  bool // the image goes with the mail
}

// The size of a picture in the mail, in pixels. The image has twice as many.
const (
	PictureWidth  = 560
	PictureHeight = 280
)

// PageName is the file name of a report's interactive page.
func PageName(reportID string) string { return reportID + ".html" }

// Preview is the HTML body for a browser, with the images inside it. In a mail they
// are parts of their own: many clients show no image that is inside.
func (r Rendered) Preview() []byte {
	html := r.HTML
	for _, img := range r.Images {
		html = strings.Replace(html, `"cid:`+img.ID+`"`, `"data:image/png;base64,`+base64.StdEncoding.EncodeToString(img.PNG)+`"`, 1)
	}
	return []byte(html)
}

// Image is the PNG of a picture.
type Image struct {
	ID  string
	PNG []byte
}

// pictures picks the charts of the mail from those of the page: one of each kind,
// that of the currency most subscriptions are billed in.
func (b *builder) pictures(p Page) []Picture {
	var all []Picture
	main := b.mainCurrency()
	for _, f := range p.Figures {
		if f.Finding == "" || len(f.Option) == 0 || f.Currency != "" && f.Currency != main {
			continue
		}
		alt := f.Finding
		if f.Numbers != "" {
			alt += ". " + f.Numbers
		}
		all = append(all, Picture{ID: f.ID, Title: f.Finding, Text: f.Numbers, Alt: alt, Option: f.Option})
	}
	return all
}

// mainCurrency is the one that most subscriptions have a cost in; empty without
// money.
func (b *builder) mainCurrency() string {
	count := map[string]int{}
	for _, amounts := range b.bg.MonthlyCost {
		for _, m := range amounts {
			count[m.Currency]++
		}
	}
	if b.doc.Costs != nil {
		for _, c := range b.doc.Cost { // also those that only customers have
			count[c.Currency]++
		}
	}
	main := ""
	for _, currency := range slices.Sorted(maps.Keys(count)) {
		if main == "" || count[currency] > count[main] {
			main = currency
		}
	}
	return main
}

// draw makes the images of a digest. Without a renderer there are none: their
// words remain.
func draw(d *Digest, r *raster.Renderer) ([]Image, error) {
	if r == nil {
		return nil, nil
	}
	var images []Image
	pictures := make([]Picture, len(d.Pictures))
	for i, p := range d.Pictures {
		png, err := r.PNG(context.Background(), p.Option, PictureWidth, PictureHeight)
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", p.ID, err)
		}
		p.Shown = true
		pictures[i] = p
		images = append(images, Image{p.ID, png})
	}
	d.Pictures = pictures
	return images, nil
}
