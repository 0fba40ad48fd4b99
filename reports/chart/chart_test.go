package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func hostile() []string {
	return []string{`</script><script>alert(1)</script>`, `<!--<script>`, `__f__alert(1)__f__`, `A$& {c} B{a}`, `<img src=x onerror=alert(1)>`,
		"line\u2028break", `"];alert(1);//`, `{{.Script}}`, `javascript:alert(1)`}
}

// definitions returns every kind of chart with the given name in every place.
func definitions(t testing.TB, name string) map[string]Definition {
	t.Helper()
	days := []string{name, "2"}
	s := Series{Name: name, Values: []float64{1.005, math.NaN()}, Colour: "#0b6e4f"}
	out := map[string]Definition{}
	add := func(kind string, d Definition, err error) {
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		out[kind] = d
	}
	d, err := CostByDay(days, s, &s)
	add("cost", d, err)
	d, err = ActiveByDay(days, s, s)
	add("active", d, err)
	d, err = Ranking(days, s)
	add("ranking", d, err)
	d, err = Bands(days, s, []string{"#b3261e"})
	add("bands", d, err)
	d, err = Compared(days, s, s)
	add("compared", d, err)
	d, err = Trend(days, s, s)
	add("trend", d, err)
	d, err = Pulse(s)
	add("pulse", d, err)
	return out
}

// strings returns every string of a decoded JSON value.
func texts(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			all = append(all, texts(e)...)
		}
	case map[string]any:
		for k, e := range v {
			all = append(append(all, k), texts(e)...)
		}
	}
	return all
}

func TestOption_NamesStayNamesAndNothingIsCode(t *testing.T) {
	for _, name := range hostile() {
		for kind, d := range definitions(t, name) {
			option, err := Option(d, Numbers{})
			if err != nil {
				t.Fatalf("%s %q: %v", kind, name, err)
			}
			if bytes.ContainsAny(option, "<>&\u2028\u2029") {
				t.Errorf("%s %q: the option can leave its element: %s", kind, name, option)
			}
			var v any
			if err := json.Unmarshal(option, &v); err != nil {
				t.Fatal(err)
			}
			found := false
			for _, s := range texts(v) {
				found = found || s == name
				if s != name && (strings.Contains(s, "function") || strings.Contains(s, "__f__") || regexp.MustCompile(`\{[a-d]\}`).MatchString(s)) {
					t.Errorf("%s: the option holds code or a formatter of names: %q", kind, s)
				}
			}
			if !found {
				t.Errorf("%s: the name %q did not survive", kind, name)
			}
		}
	}
}

func TestOption_KeepsToWhatTheScriptHolds(t *testing.T) {
	entry, err := os.ReadFile("../../templates/assets/entry.js")
	if err != nil {
		t.Fatal(err)
	}
	for kind, d := range definitions(t, "x") {
		option, err := Option(d, Numbers{})
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Series []struct{ Type string }
			XAxis  []struct{ Type string }
			Title  struct{ Left, Top string }
			Legend struct{ Left, Top string }
		}
		if err := json.Unmarshal(option, &v); err != nil {
			t.Fatal(err)
		}
		for _, s := range v.Series {
			if component := strings.ToUpper(s.Type[:1]) + s.Type[1:] + "Chart"; !strings.Contains(string(entry), component) {
				t.Errorf("%s: series type %q is not in the script, so nothing would be drawn", kind, s.Type)
			}
		}
		if v.Title.Left == "" || v.Legend.Left == "" || v.Legend.Top == "" {
			t.Errorf("%s: title and legend need positions: %s", kind, option)
		}
		if len(v.Series) == 0 || len(v.XAxis) == 0 || v.XAxis[0].Type == "time" {
			t.Errorf("%s: want series, and days as categories, which no time zone moves: %s", kind, option)
		}
	}
}

// TestActiveByDay_DrawsTheLowestAboveTheAxis has counts that do not begin at 0: the lowest
// on the axis would look like none.
func TestActiveByDay_DrawsTheLowestAboveTheAxis(t *testing.T) {
	for _, c := range []struct {
		active []float64
		min    float64
	}{{[]float64{51, 50}, 49}, {[]float64{100, 80}, 60}, {[]float64{7, 7}, 6}, {[]float64{9, 2}, 0}, {[]float64{math.NaN(), 51}, 50}, {[]float64{math.NaN(), math.NaN()}, 0}} {
		d, err := ActiveByDay([]string{"1", "2"}, Series{Values: c.active}, Series{Values: []float64{0, 1}})
		if err != nil {
			t.Fatal(err)
		}
		option, err := Option(d, Numbers{})
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ YAxis []struct{ Min *float64 } }
		if err := json.Unmarshal(option, &v); err != nil {
			t.Fatal(err)
		}
		if got := v.YAxis[1].Min; got == nil || *got != c.min {
			t.Errorf("%v: the axis begins at %v, want %v: %s", c.active, got, c.min, option)
		}
	}
}

func TestOption_ValuesAreRoundedAndGapsStayGaps(t *testing.T) {
	d, err := Ranking([]string{"a", "b", "c"}, Series{Values: []float64{1.239, math.NaN(), 0}})
	if err != nil {
		t.Fatal(err)
	}
	option, err := Option(d, Numbers{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `"data":[{"value":1.24},{},{"value":0}]`; !strings.Contains(string(option), want) {
		t.Errorf("option %s does not hold %s", option, want)
	}
}

func TestDefinitions_RefuseWhatCannotBeDrawn(t *testing.T) {
	long := make([]string, MaxPoints+1)
	if _, err := Ranking(long, Series{Values: make([]float64, len(long))}); !errors.Is(err, ErrTooManyPoints) {
		t.Errorf("%d points: %v, want ErrTooManyPoints", len(long), err)
	}
	if _, err := Ranking(long[:MaxPoints], Series{Values: make([]float64, MaxPoints)}); err != nil {
		t.Errorf("%d points: %v", MaxPoints, err)
	}
	if _, err := Bands([]string{"a"}, Series{Values: []float64{1, 2}}, nil); err == nil {
		t.Error("two values for one place were accepted")
	}
	if _, err := ActiveByDay([]string{"a"}, Series{Values: []float64{math.Inf(1)}}, Series{Values: []float64{1}}); err == nil {
		t.Error("an infinite value was accepted")
	}
}

func layout(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("../../templates/page.html.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// library stands in for the chart script.
const library = `var echarts={init:function(){return{setOption:function(){},resize:function(){}}}};`

func hostilePage(t testing.TB, name string, script []byte) []byte {
	t.Helper()
	in := PageInput{Layout: layout(t), Script: script, Lang: "nl", Title: name, Lead: name, Lines: []string{name}, Footer: []string{name},
		Accent: "#0b6e4f", NoCharts: "no charts", Data: name}
	for kind, d := range definitions(t, name) {
		option, err := Option(d, Numbers{})
		if err != nil {
			t.Fatal(err)
		}
		in.Figures = append(in.Figures, Figure{ID: kind, Title: name, Lines: []string{name}, Option: option,
			Tables: []Table{{Caption: name, Head: []string{name, name}, Rows: [][]string{{name, name}}}}})
	}
	page, err := Page(in)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestPage_HostileNamesAreInert(t *testing.T) {
	for _, name := range hostile() {
		page := hostilePage(t, name, []byte(library))
		root, err := html.Parse(bytes.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		scripts, options := 0, 0
		for n := range root.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" {
					t.Errorf("%q: <%s %s=%q>", name, n.Data, a.Key, a.Val)
				}
			}
			switch n.Data {
			case "img", "iframe", "object", "embed", "link", "base", "form":
				t.Errorf("%q: the page has a <%s>", name, n.Data)
			case "script":
				text := n.FirstChild.Data
				if len(n.Attr) > 0 && n.Attr[0].Val == "application/json" {
					options++
					if !json.Valid([]byte(text)) {
						t.Errorf("%q: the option is no JSON: %s", name, text)
					}
					continue
				}
				scripts++
				if !strings.Contains(html.UnescapeString(string(page)), hash([]byte(text))) {
					t.Errorf("%q: the policy does not allow the script %.60q", name, text)
				}
			}
		}
		if scripts != 2 || options != 7 {
			t.Errorf("%q: the page has %d scripts and %d options, want 2 and 7", name, scripts, options)
		}
	}
}

func TestPage_PolicyAllowsNothingElse(t *testing.T) {
	page := string(hostilePage(t, "x", []byte(library)))
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
	if policy == nil || !strings.HasPrefix(policy[1], "default-src &#39;none&#39;;") || strings.Count(policy[1], "sha256-") != 2 || strings.Contains(policy[1], "http") {
		t.Errorf("policy is %q", policy)
	}
}

// TestPage_FromTheArchiveDrawsTheSameCharts has the figures as JSON, in which one
// without a chart says null.
func TestPage_FromTheArchiveDrawsTheSameCharts(t *testing.T) {
	in := PageInput{Layout: layout(t), Script: []byte(library), Lang: "en", Figures: []Figure{{ID: "drawn", Option: json.RawMessage(`{"series":[]}`)}, {ID: "numbers"}}}
	text, err := json.Marshal(in.Figures)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Page(in)
	if err != nil {
		t.Fatal(err)
	}
	in.Figures = nil
	if err := json.Unmarshal(text, &in.Figures); err != nil {
		t.Fatal(err)
	}
	got, err := Page(in)
	if err != nil || !bytes.Equal(got, want) || bytes.Count(got, []byte("data-option=")) != 1+bytes.Count([]byte(start+library), []byte("data-option=")) {
		t.Errorf("%v; the page is another one: %d charts", err, bytes.Count(got, []byte("data-option=")))
	}
}

func TestPage_WithoutScriptHasTablesAndSaysSo(t *testing.T) {
	page := string(hostilePage(t, "Noordzee", nil))
	if strings.Contains(page, "<script") || !strings.Contains(page, "no charts") || strings.Count(page, "<table") != 7 {
		t.Errorf("want seven tables, no script and a line about it:\n%s", page)
	}
	if with := string(hostilePage(t, "Noordzee", []byte(library))); strings.Contains(with, "no charts") || strings.Count(with, "<table") != 7 {
		t.Error("with the script the page says that charts are missing, or lost a table")
	}
}

func TestPage_RefusesAScriptThatEndsItsElement(t *testing.T) {
	for _, script := range []string{"</Script>", "x<!--y"} {
		if _, err := Page(PageInput{Layout: layout(t), Script: []byte(script)}); err == nil {
			t.Errorf("script %q was accepted", script)
		}
	}
	if _, err := Page(PageInput{Layout: layout(t), Figures: []Figure{{Option: json.RawMessage("{")}}}); err == nil {
		t.Error("an option that is no JSON was accepted")
	}
}
