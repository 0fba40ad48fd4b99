package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The colours that contrast is computed against. The templates use them, and a
// test checks every pair.
const (
	ground        = "#fbfbf9" // of the card; not pure white, for clients that invert
	defaultAccent = "#0b6e4f"
	minContrast   = 4.5 // WCAG 2.2 AA for text

	colourHigh   = "#b3261e"
	colourMedium = "#96590a"
	colourLow    = "#4f7a63"
	colourQuiet  = "#6b7280"
)

// colourOf is the colour of a band, or of a state without one.
func colourOf(level string) string {
	switch level {
	case "high":
		return colourHigh
	case "medium":
		return colourMedium
	case "low":
		return colourLow
	}
	return colourQuiet
}

// accent returns the partner's colour, darkened until it can be read as text on
// the ground. Anything that is no colour gives the default.
func accent(colour string) string {
	r, g, b, ok := parseColour(colour)
	if !ok {
		return defaultAccent
	}
	for contrast(hex(r, g, b), ground) < minContrast {
		r, g, b = r*0.9, g*0.9, b*0.9
	}
	return hex(r, g, b)
}

func hex(r, g, b float64) string {
	return fmt.Sprintf("#%02x%02x%02x", uint8(r), uint8(g), uint8(b))
}

func parseColour(s string) (r, g, b float64, ok bool) {
	digits, found := strings.CutPrefix(s, "#")
	n, err := strconv.ParseUint(digits, 16, 32)
	if !found || err != nil || len(digits) != 6 {
		return 0, 0, 0, false
	}
	return float64(n >> 16), float64(n >> 8 & 0xff), float64(n & 0xff), true
}

// contrast is the WCAG contrast ratio of two colours.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(colour string) float64 {
	r, g, b, _ := parseColour(colour)
	linear := func(c float64) float64 {
		if c /= 255; c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}
