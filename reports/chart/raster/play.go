package raster

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/vector"
)

// The codes of record.js.
const (
	opBegin = iota
	opMove
	opLine
	opCurve
	opQuad
	opArc
	opRect
	opClose
	opFill
	opStroke
	opClip
	opSave
	opRestore
	opTransform
	opClear
	opText
	opStrokeText
	opEllipse
)

// operands is how many numbers follow each code; a stroke has its dashes besides.
func operands() [18]int {
	return [18]int{opMove: 2, opLine: 2, opCurve: 6, opQuad: 4, opArc: 6, opRect: 4, opFill: 2, opStroke: 8, opTransform: 6, opClear: 4,
		opText: 9, opStrokeText: 9, opEllipse: 8}
}

// state is what save keeps.
type state struct {
	m    matrix
	clip image.Rectangle
	mask *image.Alpha // nil: the rectangle is all there is
}

// player draws a recording.
type player struct {
	state
	kept  []state
	path  path
	fonts *fonts
	rec   recording
	dst   *image.RGBA
	area  vector.Rasterizer
	marks int // areas and lines that were drawn, text aside
}

// play draws a recording on white. It returns how many marks it drew.
func play(ctx context.Context, rec recording, f *fonts, width, height int) (*image.RGBA, int, error) {
	p := &player{fonts: f, rec: rec, dst: image.NewRGBA(image.Rect(0, 0, width, height))}
	draw.Draw(p.dst, p.dst.Bounds(), image.White, image.Point{}, draw.Src)
	p.m, p.clip = matrix{a: 1, d: 1}, p.dst.Bounds()
	counts := operands()
	for n := rec.numbers; len(n) > 0; {
		code := int(n[0])
		if code < 0 || code >= len(counts) {
			return nil, 0, fmt.Errorf("recording: unknown code %v", n[0])
		}
		size := counts[code]
		if code == opStroke && len(n) > size {
			size += int(n[8])
		}
		if len(n) < 1+size {
			return nil, 0, fmt.Errorf("recording: it ends in the middle of code %d", code)
		}
		if err := p.do(code, n[1:1+size]); err != nil {
			return nil, 0, err
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		n = n[1+size:]
	}
	return p.dst, p.marks, nil
}

func (p *player) do(code int, n []float64) error {
	switch code {
	case opBegin:
		p.path.subs = p.path.subs[:0]
	case opMove:
		p.path.move(p.m.apply(n[0], n[1]))
	case opLine:
		p.path.line(p.m.apply(n[0], n[1]))
	case opCurve:
		x1, y1 := p.m.apply(n[0], n[1])
		x2, y2 := p.m.apply(n[2], n[3])
		x, y := p.m.apply(n[4], n[5])
		p.path.cubic(x1, y1, x2, y2, x, y)
	case opQuad:
		x1, y1 := p.m.apply(n[0], n[1])
		x, y := p.m.apply(n[2], n[3])
		p.path.quad(x1, y1, x, y)
	case opArc:
		p.path.ellipse(p.m, n[0], n[1], n[2], n[2], 0, n[3], n[4], n[5] == 1)
	case opEllipse:
		p.path.ellipse(p.m, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7] == 1)
	case opRect:
		p.path.move(p.m.apply(n[0], n[1]))
		p.path.line(p.m.apply(n[0]+n[2], n[1]))
		p.path.line(p.m.apply(n[0]+n[2], n[1]+n[3]))
		p.path.line(p.m.apply(n[0], n[1]+n[3]))
		p.path.close()
	case opClose:
		p.path.close()
	case opFill:
		return p.fill(&p.path, n[0], n[1])
	case opStroke:
		return p.stroke(n)
	case opClip:
		p.narrow()
	case opSave:
		p.kept = append(p.kept, p.state)
	case opRestore:
		if k := len(p.kept); k > 0 {
			p.state, p.kept = p.kept[k-1], p.kept[:k-1]
		}
	case opTransform:
		p.m = matrix{n[0], n[1], n[2], n[3], n[4], n[5]}
	case opText, opStrokeText:
		return p.text(code, n)
	}
	return nil // opClear: the picture begins white
}

// word is a text of the recording.
func (p *player) word(at float64) string {
	if i := int(at); i >= 0 && i < len(p.rec.texts) {
		return p.rec.texts[i]
	}
	return ""
}

func (p *player) fill(area *path, style, alpha float64) error {
	with, err := parsePaint(p.word(style), alpha, p.m)
	if err != nil {
		return err
	}
	p.marks++
	p.paint(area, with)
	return nil
}

func (p *player) stroke(n []float64) error {
	scale := p.m.scale()
	with := pen{width: n[2] * scale, cap: p.word(n[3]), join: p.word(n[4]), miter: n[5], dashOffset: n[6] * scale}
	for _, d := range n[8:] {
		with.dash = append(with.dash, d*scale)
	}
	return p.fill(p.path.stroke(with), n[0], n[1])
}

// paint fills an area within the clip.
func (p *player) paint(area *path, with paint) {
	r := area.bounds().Intersect(p.clip)
	if r.Empty() {
		return
	}
	p.area.Reset(r.Dx(), r.Dy())
	area.into(&p.area, r.Min)
	if s, ok := with.(solid); ok && p.mask == nil {
		if s.A > 0 {
			p.area.Draw(p.dst, r, image.NewUniform(color.NRGBA(s)), image.Point{})
		}
		return
	}
	cover := image.NewAlpha(image.Rect(0, 0, r.Dx(), r.Dy()))
	p.area.DrawOp = draw.Src
	p.area.Draw(cover, cover.Bounds(), image.Opaque, image.Point{})
	colours := image.NewNRGBA(cover.Bounds())
	for y := range r.Dy() {
		for x := range r.Dx() {
			colours.SetNRGBA(x, y, with.at(float64(r.Min.X+x)+0.5, float64(r.Min.Y+y)+0.5))
			if p.mask != nil {
				both := int(cover.AlphaAt(x, y).A) * int(p.mask.AlphaAt(r.Min.X+x, r.Min.Y+y).A) / 255
				cover.SetAlpha(x, y, color.Alpha{A: uint8(both)})
			}
		}
	}
	draw.DrawMask(p.dst, r, colours, image.Point{}, cover, image.Point{}, draw.Over)
}

// narrow cuts the clip down to the path.
func (p *player) narrow() {
	if r, ok := p.path.rectangle(); ok {
		p.clip = p.clip.Intersect(r)
		return
	}
	mask := image.NewAlpha(p.dst.Bounds())
	p.area.Reset(mask.Bounds().Dx(), mask.Bounds().Dy())
	p.area.DrawOp = draw.Src
	p.path.into(&p.area, image.Point{})
	p.area.Draw(mask, mask.Bounds(), image.Opaque, image.Point{})
	if p.mask != nil {
		for i, a := range p.mask.Pix {
			mask.Pix[i] = uint8(int(mask.Pix[i]) * int(a) / 255)
		}
	}
	p.mask = mask
	p.clip = p.clip.Intersect(p.path.bounds())
}

// text draws letters as outlines.
func (p *player) text(code int, n []float64) error {
	css := parseFont(p.word(n[3]))
	line, width := p.fonts.set(p.word(n[0]), css)
	x, y := n[1], n[2]
	switch p.word(n[4]) {
	case "center":
		x -= width / 2
	case "right", "end":
		x -= width
	}
	main := p.fonts.regular
	if css.bold {
		main = p.fonts.bold
	}
	switch up := main.ascent; p.word(n[5]) {
	case "middle":
		y += (up - 0.5) * css.size
	case "top", "hanging":
		y += up * css.size
	case "bottom", "ideographic":
		y -= (1 - up) * css.size
	}
	m := p.m
	if m.upright() { // a browser sets upright text on whole pixels
		_, dy := m.apply(x, y)
		m.f += math.Round(dy) - dy
	}
	var letters path
	for _, g := range line {
		if g.tofu {
			p.fonts.lacks(g.char)
		}
		letters.glyph(m, g, x+g.x, y, css.size)
	}
	area := &letters
	if code == opStrokeText {
		area = letters.stroke(pen{width: n[8] * m.scale(), cap: "butt", join: "round", miter: 2})
	}
	with, err := parsePaint(p.word(n[6]), n[7], p.m)
	if err == nil {
		p.paint(area, with)
	}
	return err
}

// glyph appends the outline of a letter whose origin is at x, y; a box for one
// that no font has.
func (p *path) glyph(m matrix, g placed, x, y, size float64) {
	if g.index == 0 {
		if g.tofu {
			p.box(m, x, y, size)
		}
		return
	}
	scale := size / g.face.em / 64
	at := func(i int, s sfnt.Segment) (float64, float64) {
		return m.apply(x+float64(s.Args[i].X)*scale, y+float64(s.Args[i].Y)*scale)
	}
	for _, s := range g.face.glyph(g.index).segments {
		x0, y0 := at(0, s)
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			p.close()
			p.move(x0, y0)
		case sfnt.SegmentOpLineTo:
			p.line(x0, y0)
		case sfnt.SegmentOpQuadTo:
			x1, y1 := at(1, s)
			p.quad(x0, y0, x1, y1)
		case sfnt.SegmentOpCubeTo:
			x1, y1 := at(1, s)
			x2, y2 := at(2, s)
			p.cubic(x0, y0, x1, y1, x2, y2)
		}
	}
	p.close()
}

// box stands in for a character that no font has: its frame, a twentieth thick.
func (p *path) box(m matrix, x, y, size float64) {
	outer, inner := [4]float64{0.1, -0.7, 0.5, 0}, [4]float64{0.15, -0.65, 0.45, -0.05}
	for i, r := range [][4]float64{outer, inner} {
		corners := [][2]float64{{r[0], r[1]}, {r[2], r[1]}, {r[2], r[3]}, {r[0], r[3]}}
		for k := range corners {
			c := corners[k]
			if i == 1 { // the other way round: a hole
				c = corners[3-k]
			}
			dx, dy := m.apply(x+c[0]*size, y+c[1]*size)
			if k == 0 {
				p.move(dx, dy)
			} else {
				p.line(dx, dy)
			}
		}
		p.close()
	}
}
