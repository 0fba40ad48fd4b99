package templates

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, tag string) *Locale {
	t.Helper()
	l, err := Load(tag)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// placeholders returns the arguments a message uses, e.g. "1d 2s", over all its
// plural forms: a form for one may leave out the number.
func placeholders(tr translated) string {
	var found []string
	for _, form := range tr.Forms {
		for _, m := range regexp.MustCompile(`%\[(\d)\](\w)`).FindAllStringSubmatch(form, -1) {
			if p := m[1] + m[2]; !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

func TestLocales_HaveTheSameKeysAndPlaceholders(t *testing.T) {
	languages := Languages()
	if !slices.Contains(languages, "nl") || !slices.Contains(languages, "en") {
		t.Fatalf("languages are %v, want at least nl and en", languages)
	}
	want := map[string]string{}
	english, err := readLocale("en")
	if err != nil {
		t.Fatal(err)
	}
	for key, tr := range english.Messages {
		want[key] = placeholders(tr)
	}
	for _, tag := range languages {
		f, err := readLocale(tag)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for key, tr := range f.Messages {
			got[key] = placeholders(tr)
			for form, text := range tr.Forms {
				if strings.Contains(regexp.MustCompile(`%\[\d\][ds]`).ReplaceAllString(text, ""), "%") {
					t.Errorf("%s: %s (%s): %q has a verb without its argument's number", tag, key, form, text)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from en in keys or placeholders (-en +%s):\n%s", tag, tag, diff)
		}
	}
}

// TestLocales_EveryMessageIsUsedAndEveryUsedOneExists reads the source of the
// package that speaks.
func TestLocales_EveryMessageIsUsedAndEveryUsedOneExists(t *testing.T) {
	english, err := readLocale("en")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../reports/*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d source files: %v", len(files), err)
	}
	var source strings.Builder
	for _, f := range append(files, "format.go") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:\bt|\.Text)\("([a-z_.]+)"[,)]`).FindAllStringSubmatch(source.String(), -1) {
		used[m[1]] = true
		if _, found := english.Messages[m[1]]; !found {
			t.Errorf("message %s is used and does not exist", m[1])
		}
	}
	if len(used) < 40 {
		t.Fatalf("found %d used messages only", len(used))
	}
	for key := range english.Messages {
		family := key[:strings.LastIndex(key, ".")+1]
		if !used[key] && !strings.Contains(source.String(), `"`+key+`"`) && !strings.Contains(source.String(), `"`+family+`"`) {
			t.Errorf("message %s is never used", key)
		}
	}
}

func TestLocale_Formats(t *testing.T) {
	nl, en := load(t, "nl-NL"), load(t, "en")
	on := func(s string) time.Time {
		d, err := time.Parse("2006-01-02", s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct{ name, got, want string }{
		{"amount, whole from 100", nl.Money("4210.49", "EUR"), "€ 4.210"},
		{"amount in English", en.Money("4210.49", "EUR"), "€4,210"},
		{"amount rounds up", nl.Money("999.5", "EUR"), "€ 1.000"},
		{"small amount with cents", nl.Money("12.345", "EUR"), "€ 12,35"},
		{"negative amount", en.Money("-1234.00", "USD"), "−$1,234"},
		{"currency without a symbol", nl.Money("1200.00", "CHF"), "CHF 1.200"},
		{"amount beyond a float", en.Money("12345678901234567890.55", "USD"), "$12,345,678,901,234,567,891"},
		{"nearly zero is not minus zero", nl.Money("-0.001", "EUR"), "€ 0,00"},
		{"number with places", nl.Number("1234.45", 1), "1.234,5"},
		{"number carries over", nl.Number("9.999", 2), "10,00"},
		{"no number", nl.Number("abc", 2), "abc"},
		{"quantity", nl.Quantity("12.50"), "12,5"},
		{"whole quantity", nl.Quantity("3.00"), "3"},
		{"large quantity", nl.Quantity("12345.678"), "12.346"},
		{"percent", nl.Percent(0.72), "72 %"},
		{"percent in English", en.Percent(0.715), "72%"},
		{"small change", nl.Change(-0.0846), "−8,5 %"},
		{"large change", en.Change(0.3333), "+33%"},
		{"no change", en.Change(0.0001), "0.0%"},
		{"day", nl.Day(on("2026-03-05")), "5 mrt"},
		{"day in English", en.Day(on("2026-11-12")), "12 Nov"},
		{"range in a month", nl.Range(on("2026-11-06"), on("2026-11-12")), "6–12 nov"},
		{"range over months", nl.Range(on("2026-10-30"), on("2026-11-05")), "30 okt–5 nov"},
		{"range over years", nl.Range(on("2026-12-28"), on("2027-01-03")), "28 dec 2026–3 jan 2027"},
		{"range of one day", en.Range(on("2026-11-06"), on("2026-11-06")), "6 Nov"},
		{"month", nl.Month(on("2026-11-01")), "november 2026"},
		{"list of one", nl.List([]string{"A"}), "A"},
		{"list of three", nl.List([]string{"A", "B", "C"}), "A, B en C"},
		{"plural of one", nl.Text("headline.calls", 1), "1 klant bellen"},
		{"plural of many", nl.Text("headline.calls", 1200), "1.200 klanten bellen"},
		{"plural of none in its own words", en.Text("global.lost", 0), "no customer was lost"},
		{"value that looks like a placeholder", fill("{a}-{b}", "a", "{b}", "b", "x"), "{b}-x"},
		{"value that looks like a verb", nl.Text("since.compared", "%d"), "Vergeleken met %d."},
		{"unknown key", nl.Text("no.such.key"), "[no.such.key]"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestLoad_RefusesALanguageWithoutCatalogue(t *testing.T) {
	for _, tag := range []string{"", "xx", "../en", "EN"} {
		if _, err := Load(tag); err == nil {
			t.Errorf("Load(%q) = nil error, want one", tag)
		}
	}
}

func TestLayout_EveryTemplateIsThere(t *testing.T) {
	for _, name := range []string{"mail.html", "mail.txt", "page.html"} {
		if Layout(name) == "" {
			t.Errorf("layout %s is empty", name)
		}
	}
}

func TestChartScript_IsEmbeddedExactlyWhenItWasBuilt(t *testing.T) {
	built, err := os.ReadFile("assets/dist/echarts.min.js")
	js, ok := ChartScript()
	if ok != (err == nil) || !strings.HasPrefix(string(js), string(built)) || ok != strings.Contains(string(js), "function writeNumbers(") {
		t.Errorf("ChartScript: ok is %v with %d bytes, the file on disk has %d (%v)", ok, len(js), len(built), err)
	}
}

func TestAssets_LockFileNamesNoRegistryAndExactVersions(t *testing.T) {
	lock, err := os.ReadFile("assets/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(lock), "://") || !strings.Contains(string(lock), `"integrity"`) {
		t.Error("package-lock.json must have integrity hashes and no URL; make it with npm install --omit-lockfile-registry-resolved")
	}
	manifest, err := os.ReadFile("assets/package.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range regexp.MustCompile(`"(?:echarts|esbuild)": "([^"]*)"`).FindAllStringSubmatch(string(manifest), -1) {
		if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version[1]) {
			t.Errorf("package.json: %s is not an exact version", version[0])
		}
	}
}
