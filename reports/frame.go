package reports

import (
	"maps"
	"slices"
	"strings"
)

// freshness says how complete the data is. It counts and names only customers
// of the recipient's scope.
func (b *builder) freshness() []string {
	c, f := b.doc.Coverage, b.bg.Freshness
	lines := []string{b.t("fresh.days", c.KnownDays, c.Period.Days(), c.PreviousKnownDays, c.Previous.Days())}
	if c.Watermark != nil {
		lines[0] = b.t("fresh.watermark", b.day(*c.Watermark)) + " " + lines[0]
	}
	total := len(b.bg.Customers) - len(f.Unreachable)
	for _, failed := range f.Failed {
		if _, known := b.bg.Customers[failed.ID]; !known {
			total++
		}
	}
	lines = append(lines, b.t("fresh.customers", b.loc.Int(int64(total-len(f.Failed))), b.loc.Int(int64(total))))
	if len(f.Failed) > 0 {
		lines = append(lines, b.t("fresh.failed", b.names(b.failedNames())))
	}
	if f.Extracted != nil {
		lines = append(lines, b.t("fresh.extracted", b.day(*f.Extracted), short(strings.Join(f.Sources, ", "))))
	}
	if f.Quarantined > 0 {
		lines = append(lines, b.t("fresh.quarantined", f.Quarantined))
	}
	return lines
}

func (b *builder) failedNames() []string {
	var names []string
	for _, c := range b.bg.Freshness.Failed {
		name := short(c.Name)
		if name == "" {
			name = b.customer(c.ID)
		}
		names = append(names, name)
	}
	return names
}

// footer says where the numbers come from.
func (b *builder) footer(reportID string) []string {
	var lines []string
	if b.bg.Money {
		lines = append(lines, b.t("footer.cost"))
	}
	lines = append(lines, b.t("footer.score"))
	versions := make([]string, 0, len(b.doc.Versions))
	for _, table := range slices.Sorted(maps.Keys(b.doc.Versions)) {
		versions = append(versions, short(table)+" "+b.loc.Int(b.doc.Versions[table]))
	}
	return append(lines,
		b.t("footer.id", reportID, b.doc.KnownAt.UTC().Format("2006-01-02 15:04")),
		b.t("footer.archive", strings.Join(versions, ", "), clean(b.bg.Seal)),
		b.t("footer.reproduce", "tidemark reproduce "+reportID))
}
