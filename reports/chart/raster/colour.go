package raster

import (
	"encoding/json"
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"
)

// paint is what an area is filled with.
type paint interface {
	// at returns the colour of a place, not premultiplied.
	at(x, y float64) color.NRGBA
}

type solid color.NRGBA

func (s solid) at(float64, float64) color.NRGBA { return color.NRGBA(s) }

// gradient is a linear gradient of the canvas, in device pixels.
type gradient struct {
	x0, y0, x1, y1 float64
	stops          []gradientStop
}

type gradientStop struct {
	offset float64
	colour color.NRGBA
}

func (g gradient) at(x, y float64) color.NRGBA {
	dx, dy := g.x1-g.x0, g.y1-g.y0
	t := 0.0
	if l := dx*dx + dy*dy; l > 0 {
		t = ((x-g.x0)*dx + (y-g.y0)*dy) / l
	}
	before := g.stops[0]
	for _, s := range g.stops {
		if t < s.offset {
			if s.offset == before.offset {
				return s.colour
			}
			return mix(before.colour, s.colour, max(0, (t-before.offset)/(s.offset-before.offset)))
		}
		before = s
	}
	return before.colour
}

func mix(a, b color.NRGBA, t float64) color.NRGBA {
	m := func(x, y uint8) uint8 { return uint8(math.Round(float64(x) + (float64(y)-float64(x))*t)) }
	return color.NRGBA{m(a.R, b.R), m(a.G, b.G), m(a.B, b.B), m(a.A, b.A)}
}

// parsePaint reads a style as record.js writes it.
func parsePaint(s string, alpha float64, m matrix) (paint, error) {
	text, isGradient := strings.CutPrefix(s, "gradient:")
	if !isGradient {
		c, err := parseColour(s)
		c.A = uint8(math.Round(float64(c.A) * alpha))
		return solid(c), err
	}
	var raw struct {
		At    []float64           `json:"at"`
		Stops [][]json.RawMessage `json:"stops"`
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil || len(raw.At) < 4 || len(raw.Stops) == 0 {
		return nil, fmt.Errorf("gradient %s: not one", text)
	}
	var g gradient
	g.x0, g.y0 = m.apply(raw.At[0], raw.At[1])
	g.x1, g.y1 = m.apply(raw.At[2], raw.At[3])
	for _, s := range raw.Stops {
		var stop gradientStop
		var name string
		if len(s) != 2 || json.Unmarshal(s[0], &stop.offset) != nil || json.Unmarshal(s[1], &name) != nil {
			return nil, fmt.Errorf("gradient %s: not one", text)
		}
		var err error
		if stop.colour, err = parseColour(name); err != nil {
			return nil, err
		}
		stop.colour.A = uint8(math.Round(float64(stop.colour.A) * alpha))
		g.stops = append(g.stops, stop)
	}
	return g, nil
}

// parseColour reads a CSS colour as ECharts writes it: #rgb, #rrggbb, #rrggbbaa,
// rgb(), rgba() and a few names.
func parseColour(s string) (color.NRGBA, error) {
	bad := fmt.Errorf("colour %q: not known", s)
	s = strings.ToLower(strings.TrimSpace(s))
	switch s {
	case "transparent", "none", "":
		return color.NRGBA{}, nil
	case "black":
		return color.NRGBA{A: 255}, nil
	case "white":
		return color.NRGBA{255, 255, 255, 255}, nil
	}
	if hex, found := strings.CutPrefix(s, "#"); found {
		if len(hex) == 3 || len(hex) == 4 {
			var double strings.Builder
			for _, r := range hex {
				double.WriteString(string(r) + string(r))
			}
			hex = double.String()
		}
		if len(hex) == 6 {
			hex += "ff"
		}
		n, err := strconv.ParseUint(hex, 16, 32)
		if err != nil || len(hex) != 8 {
			return color.NRGBA{}, bad
		}
		return color.NRGBA{uint8(n >> 24), uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
	}
	inner, found := strings.CutPrefix(strings.Replace(s, "rgba(", "rgb(", 1), "rgb(")
	parts := strings.Split(strings.TrimSuffix(inner, ")"), ",")
	if !found || len(parts) < 3 || len(parts) > 4 {
		return color.NRGBA{}, bad
	}
	values := [4]float64{3: 1}
	for i, p := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil {
			return color.NRGBA{}, bad
		}
		values[i] = v
	}
	channel := func(v float64) uint8 { return uint8(math.Round(min(max(v, 0), 255))) }
	return color.NRGBA{channel(values[0]), channel(values[1]), channel(values[2]), channel(255 * values[3])}, nil
}
