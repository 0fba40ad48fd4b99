package reports

import (
	"testing"

	"tidemark/templates"
	"tidemark/transform/churn"
)

func TestReasonText_TellsOfKnownDaysOnly(t *testing.T) {
	loc, err := templates.Load("en")
	if err != nil {
		t.Fatal(err)
	}
	since := new(day(t, "2026-11-09"))
	for text, r := range map[string]churn.Reason{
		"Used on 6 of 28 days; on 19 before":                               {Code: "trend", Days: 6, Of: 28, Usual: 19, UsualOf: 28},
		"Used on 6 of 9 days; on 28 of 28 before":                          {Code: "trend", Days: 6, Of: 9, Usual: 28, UsualOf: 28},
		"Last used on 9 Nov; not on the 2 days known since":                {Code: "stop", Since: since, Days: 2, Usual: 56, Of: 12},
		"Last used on 9 Nov; not on the 1 day known since":                 {Code: "silence", Since: since, Days: 1, Usual: 3, Of: 12},
		"Nothing stands out; the average of all your subscriptions is 52%": {Code: "base", Share: .5231},
		"Ran every day for 8 weeks; nothing since 9 Nov":                   {Code: "stop", Since: since, Days: 12, Usual: 56},
	} {
		if got := reasonText(loc, r); got != text {
			t.Errorf("%+v is %q, want %q", r, got, text)
		}
	}
}
