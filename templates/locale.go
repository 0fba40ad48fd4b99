package templates

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// Locale puts messages, numbers, amounts and dates into one language. It is
// safe for concurrent use.
type Locale struct {
	tag     string
	format  format
	printer *message.Printer
}

// file is locales/LANGUAGE.json.
type file struct {
	Format   format                `json:"format"`
	Messages map[string]translated `json:"messages"`
}

// format is how a language writes numbers and dates. {x} are placeholders.
type format struct {
	Decimal    string   `json:"decimal"`     // ","
	Group      string   `json:"group"`       // "."
	Minus      string   `json:"minus"`       // "−"
	Percent    string   `json:"percent"`     // "{n} %"
	Money      string   `json:"money"`       // "{symbol} {n}"
	MoneyCode  string   `json:"money_code"`  // "{symbol} {n}", for currencies without a symbol
	Day        string   `json:"day"`         // "{d} {m}"
	DayYear    string   `json:"day_year"`    // "{d} {m} {y}"
	MonthYear  string   `json:"month_year"`  // "{m} {y}"
	SameMonth  string   `json:"same_month"`  // "{d}–{d2} {m}"
	Range      string   `json:"range"`       // "{from}–{to}"
	Comma      string   `json:"comma"`       // between the fields of a CSV file, as the language's spreadsheets read it
	Months     []string `json:"months"`      // "jan"
	MonthsLong []string `json:"months_long"` // "januari"
}

// translated is a message: one format string, or one per plural form of one of
// its arguments.
type translated struct {
	Arg   int // 1-based; 0: no plural
	Forms map[string]string
}

// UnmarshalJSON reads "text" or {"arg": 1, "one": "…", "other": "…"}.
func (t *translated) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		t.Forms = map[string]string{"other": text}
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw["arg"], &t.Arg); err != nil {
		return fmt.Errorf("a plural needs the number of its argument: %w", err)
	}
	delete(raw, "arg")
	t.Forms = make(map[string]string, len(raw))
	for form, value := range raw {
		if err := json.Unmarshal(value, &text); err != nil {
			return err
		}
		t.Forms[form] = text
	}
	if t.Forms["other"] == "" {
		return errors.New(`a plural needs the form "other"`)
	}
	return nil
}

func (t translated) message() catalog.Message {
	if t.Arg == 0 {
		return catalog.String(t.Forms["other"])
	}
	var cases []any
	// The exact form first: cases are tried in order.
	for _, form := range []string{"=0", "zero", "one", "two", "few", "many", "other"} {
		if text, found := t.Forms[form]; found {
			cases = append(cases, form, text)
		}
	}
	return plural.Selectf(t.Arg, "%d", cases...)
}

// Languages returns the languages there is a catalogue for, e.g. "en", "nl".
func Languages() []string {
	entries, err := fs.ReadDir(locales, "locales")
	if err != nil {
		return nil
	}
	var tags []string
	for _, e := range entries {
		tags = append(tags, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return tags
}

// Load returns the locale of a language, e.g. "nl" or "nl-BE".
func Load(tag string) (*Locale, error) {
	base, _, _ := strings.Cut(tag, "-")
	if !slices.Contains(Languages(), base) {
		return nil, fmt.Errorf("language %q: want one of %s", tag, strings.Join(Languages(), ", "))
	}
	f, err := readLocale(base)
	if err != nil {
		return nil, fmt.Errorf("language %q: %w", tag, err)
	}
	lang, err := language.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("language %q: %w", tag, err)
	}
	messages := catalog.NewBuilder(catalog.Fallback(lang))
	for key, t := range f.Messages {
		if err := messages.Set(lang, key, t.message()); err != nil {
			return nil, fmt.Errorf("language %q: message %s: %w", tag, key, err)
		}
	}
	return &Locale{tag: base, format: f.Format, printer: message.NewPrinter(lang, message.Catalog(messages))}, nil
}

func readLocale(tag string) (file, error) {
	var f file
	b, err := locales.ReadFile("locales/" + tag + ".json")
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, err
	}
	if len(f.Format.Months) != 12 || len(f.Format.MonthsLong) != 12 {
		return f, errors.New("want twelve months")
	}
	return f, nil
}

// Tag returns the language, e.g. "nl".
func (l *Locale) Tag() string { return l.tag }

// Text returns a message of the catalogue with its arguments filled in. An
// unknown key is a programmer's error that shows as the key in brackets.
func (l *Locale) Text(key string, args ...any) string {
	return l.printer.Sprintf(message.Key(key, "["+key+"]"), args...)
}
