package reports

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"tidemark/data"
	"tidemark/reports/chart"
)

// The size of the small picture beside a call, in pixels.
const (
	pulseWidth  = 96
	pulseHeight = 40
)

// number is a count for a chart; one that is not known is a gap.
func number(n *int64) float64 {
	if n == nil {
		return math.NaN()
	}
	return float64(*n)
}

// pulse is the small picture beside a call: what the subscriptions at risk used on
// each day of the last weeks, as cost, or without money as the number of services. It is nil
// when too little is known to draw.
func (b *builder) pulse(rank int, r customerRisk) (*Picture, error) {
	const enough = 14
	if len(b.bg.Known) < enough {
		return nil, nil
	}
	days := b.bg.Days[r.id]
	currency := pulseCurrency(days, r.currency())
	s := chart.Series{Name: b.t("head.value"), Colour: colourOf(level(r.band))}
	first, last := b.bg.Known[0], b.bg.Known[len(b.bg.Known)-1]
	for d := first; d <= last; d++ {
		v := math.NaN()
		if _, known := slices.BinarySearch(b.bg.Known, d); known {
			v = float64(days.Services[d])
			if currency != "" {
				v = days.Cost[currency][d].Float64()
			}
		}
		s.Values = append(s.Values, v)
	}
	definition, err := chart.Pulse(s)
	if err != nil {
		return nil, err
	}
	option, err := chart.Option(definition, chart.Numbers{})
	if err != nil {
		return nil, err
	}
	span := data.Period{From: first, To: last}
	alt := b.pulseWords("pulse.cost", "pulse.services", days, currency, span)
	text := b.pulseWords("pulse.short.cost", "pulse.short.services", days, currency, span)
	if b.costsMore(r) {
		alt, text = b.t("pulse.risky", len(r.risky), alt), b.t("pulse.risky", len(r.risky), lowerFirst(text))
	}
	if why := b.findings(r); len(why) > 0 {
		alt = why[0] + ". " + alt
	}
	return &Picture{ID: "pulse_" + strconv.Itoa(rank), Alt: alt, Text: text, Option: option, Width: pulseWidth, Height: pulseHeight}, nil
}

// costsMore reports whether the cost of a customer, which stands above the picture, is also
// that of subscriptions that are not at risk.
func (b *builder) costsMore(r customerRisk) bool {
	return slices.ContainsFunc(b.doc.AtRisk, func(a AtRisk) bool {
		return a.CustomerID == r.id && !risky(bandOf(a)) && len(a.MonthlyCost) > 0
	})
}

// pulseCurrency is the one the customer is ranked in, else the first there is;
// empty where services are counted.
func pulseCurrency(days CustomerDays, ranked string) string {
	if days.Cost[ranked] != nil {
		return ranked
	}
	for _, currency := range slices.Sorted(maps.Keys(days.Cost)) {
		return currency
	}
	return ""
}

// pulseWords says in words what the picture shows, by a message for cost or one for
// services.
func (b *builder) pulseWords(ofCost, ofServices string, days CustomerDays, currency string, span data.Period) string {
	last := b.day(span.To)
	if currency == "" {
		most := int64(0)
		for _, n := range days.Services {
			most = max(most, n)
		}
		return b.t(ofServices, b.period(span), b.loc.Int(most), last, b.loc.Int(days.Services[span.To]))
	}
	var most data.Decimal
	for _, v := range days.Cost[currency] {
		if v.Cmp(most) > 0 {
			most = v
		}
	}
	code, now := short(currency), days.Cost[currency][span.To]
	return b.t(ofCost, b.period(span), b.loc.Money(most.String(), code), last, b.loc.Money(now.String(), code))
}
