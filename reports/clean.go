package reports

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is how many columns of a name stand in running text: a wide character takes two.
const maxName = 60

// clean makes a text from outside harmless to look at: spaces of every kind and
// line breaks become one space; control characters, invisible ones and those
// that turn the direction of writing become a visible mark. Escaping for HTML
// is not its concern.
func clean(s string) string {
	var out strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = true
			continue
		case hidden(r):
			r = utf8.RuneError
		}
		if space && out.Len() > 0 {
			out.WriteByte(' ')
		}
		space = false
		out.WriteRune(r)
	}
	return out.String()
}

// hidden reports whether a character cannot be seen, or changes how those
// around it are seen. The joiners are kept: scripts and emoji need them.
func hidden(r rune) bool {
	switch r {
	case '\u200c', '\u200d':
		return false
	case '\u115f', '\u1160', '\u3164', '\uffa0': // Hangul fillers: letters that are blank
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp) || r == utf8.RuneError ||
		r >= 0xfe00 && r <= 0xfe0e
}

// short cleans a name and cuts it to what fits into running text.
func short(s string) string {
	s = clean(s)
	if Columns(s) <= maxName {
		return s
	}
	return strings.TrimSpace(FirstColumns(s, maxName-1)) + "…"
}

// dial returns the digits of a phone number with an optional leading plus;
// empty when there are too few to be one.
func dial(phone string) string {
	var out strings.Builder
	for _, r := range phone {
		if r >= '0' && r <= '9' || r == '+' && out.Len() == 0 {
			out.WriteRune(r)
		}
	}
	if out.Len() < 5 || out.Len() > 20 {
		return ""
	}
	return out.String()
}
