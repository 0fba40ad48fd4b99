package reports

import (
	"strings"

	"tidemark/templates"
	"tidemark/transform/churn"
)

// flagText puts a fact of the contract into words.
func flagText(loc *templates.Locale, f churn.Flag) string {
	on := ""
	if f.On != nil {
		on = loc.Day(f.On.Time())
	}
	switch f.Code {
	case "renewal":
		return loc.Text("flag.renewal", on)
	case "no_auto_renew":
		return loc.Text("flag.no_auto_renew", on)
	case "trial":
		return loc.Text("flag.trial")
	case "short_history":
		return loc.Text("flag.short_history", loc.Text("days", f.Days))
	}
	return loc.Text("reason.other", short(f.Code))
}

// reasonText puts a finding into words. A code that this version does not know
// is named as it is, so that no finding is lost.
func reasonText(loc *templates.Locale, r churn.Reason) string {
	since := ""
	if r.Since != nil {
		since = loc.Day(r.Since.Time())
	}
	names := make([]string, len(r.Names))
	for i, n := range r.Names {
		names[i] = short(n)
	}
	switch r.Code {
	case "stop", "silence":
		return silenceText(loc, r, since)
	case "services":
		if len(names) == 0 {
			return loc.Text("reason.services", r.Days, r.Of)
		}
		return loc.Text("reason.services.names", max(len(names), r.Days), r.Of, strings.Join(names, ", "))
	case "activity":
		return loc.Text("reason.activity", r.Days, r.Of)
	case "trend":
		if r.UsualOf > 0 && r.UsualOf != r.Of {
			return loc.Text("reason.trend.of", r.Days, r.Of, r.Usual, r.UsualOf)
		}
		return loc.Text("reason.trend", r.Days, r.Of, r.Usual)
	case "tenure":
		return loc.Text("reason.tenure", r.Days)
	case "cost", "drop":
		if r.Cost == nil || r.Before == nil {
			break
		}
		now, before := loc.Money(r.Cost.String(), short(r.Currency)), loc.Money(r.Before.String(), short(r.Currency))
		fall := loc.Change(r.Cost.Float64()/r.Before.Float64() - 1)
		if r.Code == "drop" && r.Days < 28 {
			return loc.Text("reason.cost.week", now, loc.Text("days", r.Days), before, fall)
		}
		return loc.Text("reason.cost", now, loc.Text("days", r.Days), before, fall)
	case "volatility":
		return loc.Text("reason.volatility")
	case "size":
		return loc.Text("reason.size")
	case "base":
		return loc.Text("reason.base", loc.Percent(r.Share))
	}
	return loc.Text("reason.other", short(r.Code))
}

func silenceText(loc *templates.Locale, r churn.Reason, since string) string {
	switch {
	case r.Of > r.Days: // some of the days are not known
		return loc.Text("reason.silence.known", since, r.Days)
	case r.Code == "stop" && r.Usual >= 7:
		return loc.Text("reason.stop.weeks", r.Usual/7, since)
	case r.Code == "stop":
		return loc.Text("reason.stop", since)
	case r.Usual > 0:
		return loc.Text("reason.silence.usual", since, loc.Text("days", r.Days), loc.Text("days", r.Usual))
	}
	return loc.Text("reason.silence", since, r.Days)
}
