package raster

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"golang.org/x/image/vector"
)

func TestParseColour_WhatEChartsWrites(t *testing.T) {
	for in, want := range map[string]color.NRGBA{"#0b6e4f": {11, 110, 79, 255}, "#fff": {255, 255, 255, 255}, "#11223344": {17, 34, 51, 68},
		"rgb(1, 2,3)": {1, 2, 3, 255}, "rgba(10,20,30,0.5)": {10, 20, 30, 128}, "transparent": {}, " Black ": {A: 255}} {
		if got, err := parseColour(in); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"#12", "#zzzzzz", "rgb(1,2)", "url(#x)", "rgb(a,b,c)"} {
		if _, err := parseColour(in); err == nil {
			t.Errorf("%q is accepted", in)
		}
	}
}

// TestStroke_CoversWhatItShould compares areas with what geometry says.
func TestStroke_CoversWhatItShould(t *testing.T) {
	area := func(p *path) float64 {
		const size = 200
		var r vector.Rasterizer
		r.Reset(size, size)
		r.DrawOp = draw.Src
		p.into(&r, image.Point{})
		mask := image.NewAlpha(image.Rect(0, 0, size, size))
		r.Draw(mask, mask.Bounds(), image.Opaque, image.Point{})
		sum := 0.0
		for _, a := range mask.Pix {
			sum += float64(a) / 255
		}
		return sum
	}
	corner := path{subs: []subpath{{points: []point{{20, 20}, {120, 20}, {120, 120}}}}}
	square := path{subs: []subpath{{points: []point{{50, 50}, {150, 50}, {150, 150}, {50, 150}}, closed: true}}}
	for name, c := range map[string]struct {
		path path
		pen  pen
		want float64
	}{
		"butt ends, mitred":  {corner, pen{width: 10, cap: "butt", join: "miter", miter: 10}, 10*100 + 10*100 + 25},
		"bevelled":           {corner, pen{width: 10, cap: "butt", join: "bevel"}, 10*100 + 10*100 + 12.5},
		"square ends":        {corner, pen{width: 10, cap: "square", join: "miter", miter: 10}, 2*10*105 + 25},
		"round all over":     {corner, pen{width: 10, cap: "round", join: "round"}, 2*10*100 + math.Pi*25*1.25 - 0},
		"a closed frame":     {square, pen{width: 10, cap: "butt", join: "miter", miter: 10}, 110*110 - 90*90},
		"dashes of 10 in 20": {corner, pen{width: 10, cap: "butt", join: "miter", miter: 10, dash: []float64{10, 10}}, 1000},
		"no width":           {corner, pen{}, 0},
	} {
		if got := area(c.path.stroke(c.pen)); math.Abs(got-c.want) > 0.01*c.want+8 {
			t.Errorf("%s covers %.1f pixels, want %.1f", name, got, c.want)
		}
	}
}

// TestEllipse_TurnsAsTheCanvasSays compares areas of sectors.
func TestEllipse_TurnsAsTheCanvasSays(t *testing.T) {
	for _, c := range []struct {
		from, to float64
		back     bool
		want     float64 // of a full turn
	}{{0, math.Pi / 2, false, 0.25}, {0, math.Pi / 2, true, 0.75}, {0, 2 * math.Pi, false, 1}, {math.Pi, -math.Pi, true, 1}, {3 * math.Pi / 2, math.Pi / 2, false, 0.5}, {0, 7 * math.Pi, false, 1}} {
		var p path
		p.move(100, 100)
		p.ellipse(matrix{a: 1, d: 1}, 100, 100, 50, 50, 0, c.from, c.to, c.back)
		sum := 0.0
		q := p.subs[0].points
		for i := range q {
			n := q[(i+1)%len(q)]
			sum += q[i].x*n.y - n.x*q[i].y
		}
		if got := math.Abs(sum) / 2 / (math.Pi * 2500); math.Abs(got-c.want) > 0.005 {
			t.Errorf("from %.2f to %.2f, back %v: %.3f of a turn, want %.2f", c.from, c.to, c.back, got, c.want)
		}
	}
}
