package raster

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"slices"
)

// paletteColours is how many distinct colours a picture may have for a palette to
// be tried: beyond, its smooth areas would show steps.
const paletteColours = 1700

// paletteError is how far a channel of a pixel may be off in a palette, of 255.
const paletteError = 24

// surelySmall is a size that no chart has in full colours.
const surelySmall = 40 << 10

// encode writes a picture as a PNG: with a palette of 256 colours where that is
// close enough and smaller.
func encode(img *image.RGBA) ([]byte, error) {
	var small, full bytes.Buffer
	if indexed := reduce(img); indexed != nil {
		if err := png.Encode(&small, indexed); err != nil {
			return nil, err
		}
		if small.Len() <= surelySmall {
			return small.Bytes(), nil
		}
	}
	if err := png.Encode(&full, img); err != nil {
		return nil, err
	}
	if n := small.Len(); n > 0 && n < full.Len() {
		return small.Bytes(), nil
	}
	return full.Bytes(), nil
}

// reduce maps a picture to its 256 commonest colours; nil when some pixel would
// be too far off.
func reduce(img *image.RGBA) *image.Paletted {
	counts := map[color.RGBA]int{}
	for i := 0; i < len(img.Pix); { // a row is mostly runs of one colour
		c, start := color.RGBA{img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3]}, i
		for i += 4; i < len(img.Pix) && img.Pix[i] == c.R && img.Pix[i+1] == c.G && img.Pix[i+2] == c.B && img.Pix[i+3] == c.A; i += 4 {
		}
		counts[c] += (i - start) / 4
	}
	if len(counts) > paletteColours {
		return nil
	}
	colours := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	palette := colours[:min(len(colours), 256)]
	index := make(map[color.RGBA]uint8, len(colours))
	out := image.NewPaletted(img.Bounds(), nil)
	for i, c := range palette {
		index[c] = uint8(i)
		out.Palette = append(out.Palette, c)
	}
	for _, c := range colours[len(palette):] {
		best, off := nearest(palette, c)
		if off > paletteError {
			return nil
		}
		index[c] = best
	}
	var before color.RGBA
	var at uint8
	for i := range out.Pix {
		p := img.Pix[4*i : 4*i+4]
		if c := (color.RGBA{p[0], p[1], p[2], p[3]}); i == 0 || c != before {
			before, at = c, index[c]
		}
		out.Pix[i] = at
	}
	return out
}

// nearest returns the closest colour and how far its worst channel is off.
func nearest(palette []color.RGBA, c color.RGBA) (best uint8, off int) {
	closest := 1 << 30
	for i, p := range palette {
		r, g, b := int(p.R)-int(c.R), int(p.G)-int(c.G), int(p.B)-int(c.B)
		if d := r*r + g*g + b*b; d < closest {
			closest, best, off = d, uint8(i), max(abs(r), abs(g), abs(b))
		}
	}
	return best, off
}

func abs(n int) int { return max(n, -n) }
