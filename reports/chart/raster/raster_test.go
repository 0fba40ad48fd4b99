//go:build charts || browser || bench

package raster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/reports/chart"
	"tidemark/templates"
)

// drawings are one chart of every kind that reports have.
func drawings(t testing.TB) map[string]chart.Definition {
	t.Helper()
	days := []string{"6 nov", "7 nov", "8 nov", "9 nov", "10 nov", "11 nov", "12 nov"}
	must := func(d chart.Definition, err error) chart.Definition {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return map[string]chart.Definition{
		"cost_by_day": must(chart.CostByDay(days, chart.Series{Name: "6–12 nov", Colour: "#0b6e4f", Values: []float64{380, 402.5, 120, 99, 455, 470, 461}},
			&chart.Series{Name: "30 okt–5 nov", Values: []float64{412, 398.25, 131, 104, 460, math.NaN(), 452}})),
		"compared": must(chart.Compared([]string{"Verkochte abonnementen", "Nieuwe klanten", "Verlengde abonnementen"},
			chart.Series{Name: "30 okt–5 nov", Values: []float64{1, 0, math.NaN()}}, chart.Series{Name: "6–12 nov", Colour: "#0b6e4f", Values: []float64{2, 1, 4}})),
		"trend": must(chart.Trend([]string{"dec 2025", "jan 2026", "feb 2026", "mrt 2026", "apr 2026", "mei 2026", "jun 2026"},
			chart.Series{Name: "Azure-inkoop in EUR", Colour: "#0b6e4f", Values: []float64{math.NaN(), 16100.5, 15800, 17250.75, 18000, 17400, 18950}},
			chart.Series{Name: "Abonnementen met gebruik", Values: []float64{98, 101, 104, 103, 109, 112, 111}})),
		"pulse": must(chart.Pulse(chart.Series{Name: "EUR", Colour: "#b3261e", Values: []float64{91, 95, 93, 40, 38, 96, 99, 92, 90, math.NaN(), 37, 98, 95, 94, 12, 0, 0, 0, 0, 0}})),
		"active": must(chart.ActiveByDay(days, chart.Series{Name: "actief", Colour: "#0b6e4f", Values: []float64{118, 118, 117, 117, 115, 115, 116}},
			chart.Series{Name: "beëindigd", Colour: "#b91c1c", Values: []float64{0, 0, 1, 0, 2, 0, 0}})),
		"ranking": must(chart.Ranking([]string{"Noordzee Logistiek", "Zuiderlicht <Zorg> & Zn", "Ærø Brødre A/S", "Kwekerij Ångström", "Ωmega"},
			chart.Series{Name: "EUR", Colour: "#0b6e4f", Values: []float64{2750, 1980, 640.5, 320, 12}})),
		"bands": must(chart.Bands([]string{"Hoog", "Midden", "Laag"}, chart.Series{Name: "abonnementen", Values: []float64{6, 11, 83}}, []string{"#b91c1c", "#b45309", "#0b6e4f"})),
	}
}

func script(t testing.TB) []byte {
	t.Helper()
	js, ok := templates.ChartScript()
	if !ok {
		t.Fatal("this build has no chart script; run make assets")
	}
	return js
}

func renderer(t testing.TB, o Options) *Renderer {
	t.Helper()
	o.Script = script(t)
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func option(t testing.TB, d chart.Definition) []byte {
	t.Helper()
	b, err := chart.Option(d, chart.Numbers{Decimal: ",", Group: ".", Minus: "−"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, b []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestPNG_TheSameBytesWhateverDraws draws every chart once for several goroutines, and
// again in a process of another time zone and language.
func TestPNG_TheSameBytesWhateverDraws(t *testing.T) {
	const elsewhere = "Asia/Tokyo"
	shared, sums := renderer(t, Options{Engines: 3}), map[string]string{}
	for name, d := range drawings(t) {
		o := option(t, d)
		want, err := shared.PNG(t.Context(), o, 600, 300)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if got, err := shared.PNG(t.Context(), o, 600, 300); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: other bytes, %v", name, err)
				}
			})
		}
		group.Wait()
		if again, err := shared.PNG(t.Context(), o, 600, 300); err != nil || &again[0] != &want[0] {
			t.Errorf("%s is drawn again for the next mail, %v", name, err)
		}
		sums[name] = fmt.Sprintf("%x", sha256.Sum256(want))
	}
	if os.Getenv("TZ") == elsewhere { // this is the other process
		for name, sum := range sums {
			fmt.Println("sum", name, sum)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPNG_TheSameBytesWhateverDraws$")
	cmd.Env = append(os.Environ(), "TZ="+elsewhere, "LANG=ja_JP.UTF-8", "LC_ALL=ja_JP.UTF-8")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the other process: %v\n%s", err, out)
	}
	for name, sum := range sums {
		if !strings.Contains(string(out), "sum "+name+" "+sum+"\n") {
			t.Errorf("%s: other bytes in another time zone and language", name)
		}
	}
}

func TestPNG_IsOpaqueAndTwiceTheSize(t *testing.T) {
	r := renderer(t, Options{})
	for name, d := range drawings(t) {
		b, err := r.PNG(t.Context(), option(t, d), 560, 280)
		if err != nil {
			t.Fatal(err)
		}
		img := decode(t, b)
		if size := img.Bounds().Size(); size != image.Pt(1120, 560) {
			t.Errorf("%s is %v", name, size)
		}
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				if _, _, _, a := img.At(x, y).RGBA(); a != 0xffff {
					t.Fatalf("%s: pixel %d,%d is not opaque", name, x, y)
				}
			}
		}
		if len(b) > 60<<10 {
			t.Errorf("%s has %d bytes", name, len(b))
		}
	}
}

func TestPNG_RefusesWhatWouldBeBlank(t *testing.T) {
	r := renderer(t, Options{})
	for name, o := range map[string]string{
		"no series":                `{}`,
		"a series without a value": `{"xAxis":{"data":["a"]},"yAxis":{},"series":[{"type":"bar","data":[]}]}`,
		"a kind that is not there": `{"xAxis":{"data":["a"]},"yAxis":{},"series":[{"type":"sankey","data":[1]}]}`,
		"pies without a slice":     `{"series":[{"type":"pie","data":[null]}]}`,
	} {
		if _, err := r.PNG(t.Context(), []byte(o), 300, 200); !errors.Is(err, ErrBlank) {
			t.Errorf("%s: %v, want ErrBlank", name, err)
		}
	}
	for name, o := range map[string]string{"not JSON": `{`, "no axes": `{"series":[{"type":"bar","data":[1]}]}`, "a shadow": `{"xAxis":{"data":["a"]},"yAxis":{},"series":[{"type":"bar","data":[1],"itemStyle":{"shadowBlur":9,"shadowColor":"red"}}]}`} {
		if _, err := r.PNG(t.Context(), []byte(o), 300, 200); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// And a chart after that is drawn as if nothing had been.
	if _, err := r.PNG(t.Context(), option(t, drawings(t)["bands"]), 300, 200); err != nil {
		t.Error(err)
	}
}

func TestPNG_StopsWhenItsTimeIsUp(t *testing.T) {
	r := renderer(t, Options{Timeout: time.Millisecond})
	values := make([]string, 2000)
	for i := range values {
		values[i] = fmt.Sprint(i % 97)
	}
	o := `{"xAxis":{"type":"value"},"yAxis":{},"series":[{"type":"bar","data":[` + strings.Join(values, ",") + `]}]}`
	if _, err := r.PNG(t.Context(), []byte(o), 600, 300); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want deadline exceeded", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := renderer(t, Options{}).PNG(ctx, option(t, drawings(t)["bands"]), 600, 300); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

func TestMissing_NamesWhatNoFontHas(t *testing.T) {
	r := renderer(t, Options{Fonts: []string{}})
	d, err := chart.Ranking([]string{"ABC", "日本", "\u202eA\u0001"}, chart.Series{Name: "EUR", Values: []float64{1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.PNG(t.Context(), option(t, d), 600, 300); err != nil {
		t.Fatal(err)
	}
	if got := string(r.Missing()); got != "日本" {
		t.Errorf("missing %q, want 日本", got)
	}
}

func TestNew_ABrokenScriptIsNamed(t *testing.T) {
	if _, err := New(Options{Script: []byte("var = ;")}); err == nil {
		t.Error("a broken script is accepted")
	}
	r, err := New(Options{Script: []byte("var other = 1;")})
	if err == nil {
		_, err = r.PNG(t.Context(), []byte(`{"series":[{"type":"bar","data":[1]}]}`), 10, 10)
	}
	if err == nil {
		t.Error("a script without echarts is accepted")
	}
}

func BenchmarkPNG(b *testing.B) {
	r := renderer(b, Options{})
	for name, d := range drawings(b) {
		o := option(b, d)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.draw(context.Background(), o, 600, 300); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestNew_GoesOnWithoutAFontThatCannotBeRead has a file that is no font, and none.
func TestNew_GoesOnWithoutAFontThatCannotBeRead(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.ttf")
	if err := os.WriteFile(broken, []byte("no font"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Script: script(t), Fonts: []string{broken, broken + ".none"}})
	if err != nil {
		t.Fatal(err)
	}
	if bad := r.Unreadable(); len(bad) != 2 || !strings.Contains(bad[0].Error(), broken) || !errors.Is(bad[1], os.ErrNotExist) {
		t.Errorf("unreadable: %v", bad)
	}
	if _, err := r.PNG(t.Context(), option(t, drawings(t)["bands"]), 100, 60); err != nil {
		t.Errorf("nothing is drawn: %v", err)
	}
}

// TestDraw_NumbersAreThoseOfTheLanguage looks at the texts of the axes.
func TestDraw_NumbersAreThoseOfTheLanguage(t *testing.T) {
	r := renderer(t, Options{})
	e, err := r.engine()
	if err != nil {
		t.Fatal(err)
	}
	def, err := chart.CostByDay([]string{"6 nov", "7 nov"}, chart.Series{Name: "EUR", Values: []float64{12000, -4000.5}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	small, err := chart.Ranking([]string{"a"}, chart.Series{Name: "EUR", Values: []float64{0.5}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		chart.Definition
		chart.Numbers
		want []string
	}{
		{def, chart.Numbers{Decimal: ",", Group: ".", Minus: "−"}, []string{"12.000", "6.000", "0", "−6.000"}},
		{def, chart.Numbers{Decimal: ".", Group: ",", Minus: "−"}, []string{"12,000", "−6,000"}},
		{def, chart.Numbers{}, []string{"12,000", "-6,000"}},
		{small, chart.Numbers{Decimal: ",", Group: ".", Minus: "−"}, []string{"0", "0,1", "0,5"}},
	} {
		text, err := chart.Option(c.Definition, c.Numbers)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := e.draw(t.Context(), text, 560, 280, 2, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !slices.Contains(rec.texts, want) {
				t.Errorf("%+v: %q is not among the texts %q", c.Numbers, want, rec.texts)
			}
		}
	}
}
