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

	Width, Height int // in the mail, in pixels; the image has twice as many
}

// The size of a chart in the mail, in pixels.
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

// addPictures puts charts of the page into the sections whose numbers they show:
// one of each kind, that of the currency most subscriptions are billed in.
func (b *builder) addPictures(sections []Section, p Page) {
	for _, f := range p.Figures {
		if f.Finding == "" || f.PageOnly || len(f.Option) == 0 || f.Currency != "" && f.Currency != b.main {
			continue
		}
		i := slices.IndexFunc(sections, func(s Section) bool { return s.ID == f.Section })
		if i < 0 {
			continue
		}
		s, p := &sections[i], Picture{ID: f.ID, Title: f.Finding, Text: f.Numbers, Alt: f.Finding, Option: f.Option, Width: PictureWidth, Height: PictureHeight}
		if f.Numbers != "" {
			p.Alt += ". " + f.Numbers
		}
		g := slices.IndexFunc(s.Groups, func(g BarGroup) bool { return f.Grouped && g.Title == f.Group })
		if g < 0 {
			s.Pictures = append(s.Pictures, p)
			continue
		}
		var bars []string
		for _, bar := range s.Groups[g].Bars {
			bars = append(bars, bar.Label+" "+bar.Value)
		}
		p.Alt += ". " + b.loc.List(bars) + "."
		s.Groups[g].Picture = &p
	}
}

// AllPictures returns every picture of the mail, in their order.
func (d Digest) AllPictures() []Picture {
	var all []Picture
	for _, s := range d.Sections {
		for _, c := range s.Calls {
			if c.Pulse != nil {
				all = append(all, *c.Pulse)
			}
		}
		all = append(all, s.Pictures...)
		for _, g := range s.Groups {
			if g.Picture != nil {
				all = append(all, *g.Picture)
			}
		}
	}
	return all
}

// mainCurrency is the one that most subscriptions have a cost in; empty without
// money.
func (d *Document) mainCurrency() string {
	count := map[string]int{}
	for _, amounts := range d.Background.MonthlyCost {
		for _, m := range amounts {
			count[m.Currency]++
		}
	}
	if d.Costs != nil {
		for _, c := range d.Cost { // also those that only customers have
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

// draw makes the images of a digest, the logo first. Without a renderer there are
// none of charts: their words remain.
func draw(d Digest, r *raster.Renderer) ([]Image, error) {
	var images []Image
	if d.Logo != nil {
		images = append(images, Image{"logo", d.Logo.PNG})
	}
	if r == nil {
		return images, nil
	}
	for _, p := range d.AllPictures() {
		png, err := r.PNG(context.Background(), p.Option, p.Width, p.Height)
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", p.ID, err)
		}
		images = append(images, Image{p.ID, png})
	}
	return images, nil
}
