package reports

// still is what somebody is sent who has the report of these days already: that
// usage stands still, since when, and no finding.
func (b *builder) still(d Digest) Digest {
	last := b.doc.Period.To
	if b.doc.Watermark != nil {
		last = min(last, *b.doc.Watermark)
	}
	d.Headline = b.t("still.headline", b.day(last))
	d.Subject = d.Headline + " (" + b.day(b.in.Still.On) + ")"
	d.Lead, d.Preheader = b.lead(), b.t("still.preheader", b.day(b.in.Still.Sent))
	d.Sections = []Section{{ID: "still", Lines: []string{
		b.t("still.since", b.day(last), b.t("days", int(b.in.Still.On-last))), b.t("still.mail", b.day(b.in.Still.Sent)), b.t("still.operators")}}}
	b.addSections(&d.Page, d, false)
	d.Freshness, d.Footer = b.freshness(), b.footer(d.ReportID)
	return d
}
