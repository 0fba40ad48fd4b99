//go:build charts

package reports

import (
	"strings"
	"testing"
)

// TestPage_ChartsSayTheirFinding: what a screen reader says of a chart is what stands above
// it. Without the chart script there is no chart to say it of.
func TestPage_ChartsSayTheirFinding(t *testing.T) {
	_, r := render(t, fixtureInput(t, SalesAgent, "en"))
	const want = `aria-label="Azure cost in EUR 8% lower than in 30 Oct–5 Nov, the first fall in 7 weeks. ` +
		"€3,924 in 6–12 Nov, €4,288 in 30 Oct–5 Nov, the same days. By day: 6 Nov €590,"
	if !strings.Contains(string(r.Page), want) {
		t.Errorf("%q is not on the page", want)
	}
}
