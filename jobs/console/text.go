package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tidemark/jobs/ledger"
)

// Moment is a time on a page.
type Moment struct {
	ISO  string // for programs; empty: there is no such time
	Text string // in the zone of the pages
	Ago  string // how far it is from now
}

// moment is a time as a page shows it.
func (c *Console) moment(t time.Time) Moment {
	if t.IsZero() {
		return Moment{Text: "never"}
	}
	return Moment{t.UTC().Format(time.RFC3339), t.In(c.o.Zone).Format("Mon 2 Jan 2006 15:04 MST"), ago(c.o.Now().Sub(t))}
}

// momentOf is moment for a time that may be unset.
func (c *Console) momentOf(t *time.Time) Moment {
	if t == nil {
		return Moment{Text: "never"}
	}
	return c.moment(*t)
}

// ago says how long ago something was, or in how long it is.
func ago(d time.Duration) string {
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

// took is how long a run took; empty while it has not ended.
func took(r ledger.Run) string {
	if r.Started == nil || r.Finished == nil || r.Finished.Before(*r.Started) {
		return ""
	}
	return r.Finished.Sub(*r.Started).Round(time.Second).String()
}

// The lengths to which texts are shown, in characters.
const (
	noteLength = 300
	longLength = 20_000
)

// clean makes a text fit to be shown: characters that change how their
// surroundings read are gone, and it has an end.
func clean(s string, length int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n++; n > length {
			return s[:i] + " …"
		}
	}
	return s
}

func note(s string) string { return clean(s, noteLength) }

func notes(all []string) []string {
	var out []string
	for i, s := range all {
		if i == pageRows {
			return append(out, fmt.Sprintf("and %d more", len(all)-i))
		}
		out = append(out, note(s))
	}
	return out
}

// Badge is a state in a word, with how it looks.
type Badge struct{ Text, Kind string }

func runBadge(s ledger.RunState) Badge {
	switch s {
	case ledger.Done:
		return Badge{string(s), "good"}
	case ledger.Warned, ledger.Held:
		return Badge{string(s), "warn"}
	case ledger.Failed:
		return Badge{string(s), "bad"}
	case ledger.Running:
		return Badge{string(s), "busy"}
	}
	return Badge{string(s), "idle"}
}

func deliveryBadge(s ledger.DeliveryState) Badge {
	switch s {
	case ledger.Sent:
		return Badge{string(s), "good"}
	case ledger.Unknown, ledger.Dot, ledger.Diverted:
		return Badge{string(s), "warn"}
	case ledger.Refused, ledger.Bounced:
		return Badge{string(s), "bad"}
	case ledger.Sending:
		return Badge{string(s), "busy"}
	}
	return Badge{string(s), "idle"}
}

// size is a number of bytes in words.
func size(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + units[i:i+1] + "iB"
}

// count is a number with its thousands apart.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
