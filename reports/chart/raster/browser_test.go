//go:build browser || bench

package raster

import (
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// inChromium draws an option on a canvas of the browser, as the page would but
// still, and returns the picture.
func inChromium(t testing.TB, ctx context.Context, option []byte, width, height int) image.Image {
	t.Helper()
	page := fmt.Sprintf(`<!DOCTYPE html><meta charset="utf-8"><div id="c" style="width:%dpx;height:%dpx"></div>
<script>%s</script><script id="o" type="application/json">%s</script><script>
var o = JSON.parse(document.getElementById("o").textContent);
writeNumbers(o);
o.animation = false; o.useUTC = true; o.backgroundColor = "#ffffff"; o.tooltip = {show: false}; o.toolbox = undefined;
o.textStyle = Object.assign({}, o.textStyle, {fontFamily: %q});
(o.series || []).forEach(function (s) { s.progressive = 0; s.animation = false; });
var chart = echarts.init(document.getElementById("c"), null, {renderer: "canvas", devicePixelRatio: 2});
chart.setOption(o);
</script>`, width, height, script(t), strings.ReplaceAll(string(option), "<", "\\u003c"), family)
	file := filepath.Join(t.TempDir(), "chart.html")
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(int64(width+40), int64(height+40)), chromedp.Navigate("file://"+file)); err != nil {
		t.Fatal(err)
	}
	url, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("canvas").toDataURL("image/png")`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(url, "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, b)
}

func chromium(t testing.TB) context.Context {
	t.Helper()
	path := os.Getenv("TIDEMARK_CHROMIUM")
	if path == "" {
		t.Fatal("set TIDEMARK_CHROMIUM to a Chromium, or run make test-browser")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	return ctx
}

// grey is a picture as luminance.
func grey(img image.Image) (values []float64, width, height int) {
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			values = append(values, (0.299*float64(r)+0.587*float64(g)+0.114*float64(bl))/257)
		}
	}
	return values, b.Dx(), b.Dy()
}

// ssim is the structural similarity of two pictures (Wang, Bovik, Sheikh and
// Simoncelli, 2004), over windows of 8 by 8 pixels.
func ssim(t testing.TB, a, b image.Image) float64 {
	t.Helper()
	x, w, h := grey(a)
	y, w2, h2 := grey(b)
	if w != w2 || h != h2 {
		t.Fatalf("pictures of %d by %d and %d by %d", w, h, w2, h2)
	}
	const size, c1, c2 = 8, (0.01 * 255) * (0.01 * 255), (0.03 * 255) * (0.03 * 255)
	sum, windows := 0.0, 0
	for top := 0; top+size <= h; top += 4 {
		for left := 0; left+size <= w; left += 4 {
			var mx, my, xx, yy, xy float64
			for j := top; j < top+size; j++ {
				for i := left; i < left+size; i++ {
					p, q := x[j*w+i], y[j*w+i]
					mx, my, xx, yy, xy = mx+p, my+q, xx+p*p, yy+q*q, xy+p*q
				}
			}
			const n = size * size
			mx, my = mx/n, my/n
			vx, vy, cov := xx/n-mx*mx, yy/n-my*my, xy/n-mx*my
			sum += (2*mx*my + c1) * (2*cov + c2) / ((mx*mx + my*my + c1) * (vx + vy + c2))
			windows++
		}
	}
	return sum / float64(windows)
}

// TestBrowser_ChromiumDrawsTheSame compares every kind of chart with what a
// browser draws from the same option.
func TestBrowser_ChromiumDrawsTheSame(t *testing.T) {
	ctx := chromium(t)
	r := renderer(t, Options{})
	for name, d := range drawings(t) {
		o := option(t, d)
		b, err := r.PNG(t.Context(), o, 600, 300)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.99
		if name == "ranking" { // names of half a pixel more or less move its axis
			want = 0.95
		}
		if got := ssim(t, decode(t, b), inChromium(t, ctx, o, 600, 300)); got < want || math.IsNaN(got) {
			t.Errorf("%s: SSIM %.4f, want at least %.2f", name, got, want)
		} else {
			t.Logf("%s: SSIM %.4f", name, got)
		}
	}
	// Two different charts must not pass for the same.
	a := inChromium(t, ctx, option(t, drawings(t)["bands"]), 600, 300)
	if got := ssim(t, a, inChromium(t, ctx, option(t, drawings(t)["ranking"]), 600, 300)); got > 0.95 {
		t.Errorf("different charts have SSIM %.4f", got)
	}
}

// TestBrowser_TextIsAsWideInChromium compares the widths that labels are laid out
// by.
func TestBrowser_TextIsAsWideInChromium(t *testing.T) {
	ctx := chromium(t)
	r := renderer(t, Options{})
	inChromium(t, ctx, option(t, drawings(t)["bands"]), 600, 300)
	for _, text := range []string{"11", "118", "10 nov", "AVATAR To", "2,500", "beëindigd", "Zuiderlicht <Zorg> & Zn", "Ωmega", "Тест", "fi ffl"} {
		for _, font := range []string{"12px Liberation Sans", "bold 16px Liberation Sans"} {
			got := r.fonts.measure(text, font)
			want, err := chromedp.Run(ctx, chromedp.Evaluate[float64](fmt.Sprintf(`(function () {
				var c = document.createElement("canvas").getContext("2d"); c.font = %q; return c.measureText(%q).width; })()`, font, text)))
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got-want) > 0.02*want {
				t.Errorf("%q in %s is %.2f wide, in Chromium %.2f", text, font, got, want)
			}
		}
	}
}
