package reports

import (
	"encoding/csv"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/transform/churn"
)

func hostileNames() []string {
	return []string{
		`<script>alert(1)</script>`, `</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' style='position:fixed`, `<!--`, `-->`,
		`{{.Footer}}`, `%s%[1]d%!`, `javascript:alert(1)`, `=HYPERLINK("http://evil.example")`, `@SUM(1)`, "+1;2", "-1,5", "\t=1", "ａ＝1", "＝1+1",
		"a\r\nBcc: evil@elsewhere.example", "a\x00b\x1b[31m", "pay\u202egnp.exe", "zero\u200bwidth\ufeff", "\u2066isolate\u2069", "line\u2028sep", "\xff\xfe",
		`__f__alert(1)__f__`, `http://evil.example/`, strings.Repeat("W", 5000), strings.Repeat("a̐̑", 3000), "", " ", "\u3164",
	}
}

// poison puts a name into every place that a text from outside has.
func poison(in *BuildInput, name string) {
	d := in.Document
	for id := range d.Background.Customers {
		d.Background.Customers[id] = Customer{Name: name, Contact: name, Phone: name + " 010 555 01 23", Email: name}
	}
	for id, s := range d.Background.Subscriptions {
		s.Name = name
		d.Background.Subscriptions[id] = s
	}
	for i := range d.AtRisk {
		a := &d.AtRisk[i]
		a.Name, a.Model = Name(name), name
		a.Reasons = append(a.Reasons, Reason{Code: name, Finding: churn.Reason{Code: name}},
			Reason{Code: "services", Finding: churn.Reason{Code: "services", Of: 3, Names: []string{name, name}}})
	}
	for i := range d.WithoutUsage {
		d.WithoutUsage[i].Name = Name(name)
	}
	for i := range d.TopCustomers {
		t := &d.TopCustomers[i]
		t.Name = Name(name)
		if t.Category != nil {
			t.Category = new(name + fmt.Sprint(i/3))
		}
		if t.Unit != nil {
			t.Unit = &name
		}
	}
	if d.Costs != nil {
		d.ByCategory[0].Category = name
		for i := range d.Cost {
			d.Cost[i].Currency = name
		}
	}
	d.Background.Seal, d.Versions[name] = short(name), 3
	d.Background.Freshness.Failed = []FailedCustomer{{ID: data.CustomerID(name), Name: name, Reason: name}}
	d.Background.Freshness.Sources = []string{name}
	in.Partner.Name, in.Partner.Accent = name, name
	for i := range in.Agents {
		in.Agents[i].Name = name
	}
}

func TestRender_HostileNamesAreInertEverywhere(t *testing.T) {
	allowed := innocents(t)
	for _, name := range hostileNames() {
		for _, role := range Roles() {
			in := fixtureInput(t, role, "en")
			poison(&in, name)
			checkInert(t, fmt.Sprintf("%s, %.40q", role, name), in, allowed)
		}
	}
}

func TestRender_AnyNameIsInert(t *testing.T) {
	allowed := innocents(t)
	rapid.Check(t, func(rt *rapid.T) {
		in := fixtureInput(t, rapid.SampledFrom(Roles()).Draw(rt, "role"), "nl")
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[<>"'&/=+\-@;,%{} a\x00-\x1f\x{2000}-\x{206f}]{0,40}`)).Draw(rt, "name")
		poison(&in, name)
		checkInert(t, fmt.Sprintf("%q", name), in, allowed)
	})
}

// innocent is what a mail and a page with innocent names consist of.
type innocent struct{ mail, page map[string]bool }

func innocents(t *testing.T) map[Role]innocent {
	t.Helper()
	all := map[Role]innocent{}
	for _, role := range Roles() {
		_, r := renderLight(t, fixtureInput(t, role, "en"))
		all[role] = innocent{elements(t, r.HTML), elements(t, string(r.Page))}
	}
	return all
}

func checkInert(t *testing.T, what string, in BuildInput, innocents map[Role]innocent) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Fatalf("(that was %s)", what)
		}
	}()
	d, r := renderLight(t, in)
	checkTags(t, r.HTML)
	if got, want := elements(t, r.HTML), innocents[in.Role].mail; !subset(got, want) {
		t.Errorf("the mail has elements or attributes that a mail with innocent names has not: %v, innocent %v", got, want)
	}
	if got, want := elements(t, string(r.Page)), innocents[in.Role].page; !subset(got, want) {
		t.Errorf("the page has elements or attributes that one with innocent names has not: %v, innocent %v", got, want)
	}
	for form, s := range map[string]string{"subject": r.Subject, "text": r.Text, "preheader": d.Preheader} {
		for _, c := range s {
			if unicode.In(c, unicode.Cc, unicode.Bidi_Control) && (c != '\n' || form != "text") || c == '\u200b' || c == '\ufeff' {
				t.Errorf("the %s holds %q", form, c)
			}
		}
	}
	checkCSV(t, d.Attachment)
}

// elements counts every element with its attributes' names.
func elements(t testing.TB, s string) map[string]bool {
	t.Helper()
	root, err := html.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			found[n.Data] = true
			for _, a := range n.Attr {
				found[n.Data+" "+a.Key] = true
			}
		}
	}
	return found
}

func subset(a, b map[string]bool) bool {
	for k := range a {
		// A group of bars may lose its heading, a figure its caption.
		if !b[k] && k != "caption" && k != "h3" && k != "h3 style" {
			return false
		}
	}
	return true
}

// checkCSV reads the attachment as a spreadsheet does.
func checkCSV(t testing.TB, a Attachment) {
	t.Helper()
	file, found := strings.CutPrefix(string(a.CSV()), byteOrderMark)
	if !found {
		t.Error("the attachment does not begin with a byte order mark")
	}
	r := csv.NewReader(strings.NewReader(file))
	r.Comma = a.Comma
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatalf("the attachment does not read back: %v", err)
	}
	if len(rows) != len(a.Rows)+1 {
		t.Fatalf("the attachment has %d rows, want %d and a head", len(rows), len(a.Rows))
	}
	for y, row := range rows[1:] {
		for x, cell := range row {
			if a.Rows[y][x].Number {
				if strings.Trim(cell, "0123456789"+a.Point+"-") != "" {
					t.Errorf("cell %q is no number", cell)
				}
			} else if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") {
				t.Errorf("cell %q would be read as a formula", cell)
			}
		}
	}
}

func TestCSV_NumbersStayNumbersAndTextStaysText(t *testing.T) {
	a := Attachment{Head: []string{"a", "b"}, Comma: ';', Point: ",", Rows: [][]Field{
		{{Text: "-12.50", Number: true}, {Text: "-12.50"}},
		{{Text: "=1+1"}, {Text: "Jansen; \"Zn\""}},
		{{Text: "＝1"}, {Text: "a=b"}},
		{{}, {Text: "'quoted"}},
	}}
	want := "\ufeffa;b\r\n-12,50;'-12.50\r\n'=1+1;\"Jansen; \"\"Zn\"\"\"\r\n'＝1;a=b\r\n;'quoted\r\n"
	if got := string(a.CSV()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClean_LeavesNothingInvisible(t *testing.T) {
	for in, want := range map[string]string{
		"Noordzee Logistiek":        "Noordzee Logistiek",
		"  Zoë \t& Zonen\r\n B.V. ": "Zoë & Zonen B.V.",
		"pay\u202egnp.exe":          "pay\ufffdgnp.exe",
		"a\x00b\x1b[31m":            "a\ufffdb\ufffd[31m",
		"zero\u200bwidth":           "zero\ufffdwidth",
		"\u3164":                    "\ufffd",
		"日本支社 \u0645\u0631\u062d\u0628\u0627": "日本支社 \u0645\u0631\u062d\u0628\u0627",
		"👩\u200d💻 team":                       "👩\u200d💻 team",
		"\xff":                                "\ufffd",
		"a\u00a0b":                            "a b",
		"":                                    "",
		" \u2028 ":                            "",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShort_CutsAtSixtyColumns(t *testing.T) {
	for _, in := range []string{strings.Repeat("x", 60), strings.Repeat("é", 61), strings.Repeat("ab ", 40), strings.Repeat("山", 30), strings.Repeat("山", 31), "x" + strings.Repeat("山", 60)} {
		got := short(in)
		if n := Columns(got); n > maxName || n < maxName-2 || (Columns(in) > maxName) != strings.HasSuffix(got, "…") {
			t.Errorf("short(%q) = %q of %d columns", in, got, n)
		}
	}
}

func TestDial_TakesOnlyWhatIsANumber(t *testing.T) {
	for in, want := range map[string]string{
		"010 555 01 23": "0105550123", "+31 (0)20-555": "+31020555", "ext": "", "12": "", "": "", "+": "", "1+23456": "123456",
		"'\"><script>0105550123": "0105550123", strings.Repeat("1", 21): "",
	} {
		if got := dial(in); got != want {
			t.Errorf("dial(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestDigest_HoldsNoTextTheCleanerDidNotSee walks every string of a digest made
// of names that are only control characters and marks.
func TestDigest_HoldsNoTextTheCleanerDidNotSee(t *testing.T) {
	in := fixtureInput(t, AdminAgent, "nl")
	poison(&in, "\u202ebad\x07\u200b")
	d, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	var walk func(path string, v reflect.Value)
	seen := 0
	walk = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			seen++
			if strings.ContainsAny(v.String(), "\u202e\x07\u200b") {
				t.Errorf("%s is %q", path, v.String())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(path, v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
	walk("Digest", reflect.ValueOf(d))
	if seen < 200 {
		t.Fatalf("saw %d strings only", seen)
	}
}
