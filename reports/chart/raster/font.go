package raster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/norm"
)

// family is what the charts ask for. Liberation Sans has the widths of Arial, so
// that a page in a browser breaks its labels at the same places.
const family = "Liberation Sans, Arial, sans-serif"

// face is a font with what is needed of it, in units of its em.
type face struct {
	font    *sfnt.Font
	em      float64
	ascent  float64 // share of the em above the baseline, of ascent and descent together one
	mu      sync.Mutex
	buffer  sfnt.Buffer
	glyphs  map[sfnt.GlyphIndex]outline
	indexes map[rune]sfnt.GlyphIndex
}

// outline is a glyph: its segments in font units with y downwards, its advance.
type outline struct {
	segments sfnt.Segments
	advance  float64
}

// fonts are the faces that text is set in: regular, bold, and whatever has the
// characters that those lack. It is safe for several goroutines.
type fonts struct {
	regular, bold *face
	fallback      []*face
	unreadable    []error

	mu      sync.Mutex
	missing map[rune]bool
}

// fallbackFonts returns the file that the system has for the scripts of East Asia,
// the first that is there.
func fallbackFonts() []string {
	for _, path := range []string{
		"/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
		"/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc", "/System/Library/Fonts/PingFang.ttc", `C:\Windows\Fonts\msyh.ttc`,
	} {
		if _, err := os.Stat(path); err == nil {
			return []string{path}
		}
	}
	return nil
}

// builtIn loads the built-in faces.
func builtIn() (*fonts, error) {
	f := &fonts{missing: map[rune]bool{}}
	for _, built := range []struct {
		ttf []byte
		to  **face
	}{{liberationsansregular.TTF, &f.regular}, {liberationsansbold.TTF, &f.bold}} {
		parsed, err := sfnt.Parse(built.ttf)
		if err != nil {
			return nil, fmt.Errorf("built-in font: %w", err)
		}
		*built.to = newFace(parsed, typoAscent(built.ttf))
	}
	return f, nil
}

// add loads a file with further characters. It stays open as long as the program: its
// glyphs are read when they are needed, for it has tens of megabytes.
func (f *fonts) add(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	collection, err := sfnt.ParseCollectionReaderAt(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	parsed, err := collection.Font(0)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.fallback = append(f.fallback, newFace(parsed, 0.88))
	return nil
}

func newFace(f *sfnt.Font, ascent float64) *face {
	return &face{font: f, em: float64(f.UnitsPerEm()), ascent: ascent, glyphs: map[sfnt.GlyphIndex]outline{}, indexes: map[rune]sfnt.GlyphIndex{}}
}

// typoAscent reads sTypoAscender and sTypoDescender of the table OS/2 (OpenType
// specification), which sfnt does not give out, and returns the ascent as a share
// of both. Browsers place text by it.
func typoAscent(ttf []byte) float64 {
	const standard = 0.8
	if len(ttf) < 12 {
		return standard
	}
	for i := range int(binary.BigEndian.Uint16(ttf[4:])) {
		record := ttf[12+16*i:]
		if string(record[:4]) != "OS/2" {
			continue
		}
		table := ttf[binary.BigEndian.Uint32(record[8:]):]
		up, down := float64(int16(binary.BigEndian.Uint16(table[68:]))), -float64(int16(binary.BigEndian.Uint16(table[70:])))
		if up+down > 0 {
			return up / (up + down)
		}
	}
	return standard
}

// index returns the glyph of a rune, 0 for none.
func (f *face) index(r rune) sfnt.GlyphIndex {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, known := f.indexes[r]; known {
		return i
	}
	i, err := f.font.GlyphIndex(&f.buffer, r)
	if err != nil {
		i = 0
	}
	f.indexes[r] = i
	return i
}

// glyph returns an outline in font units.
func (f *face) glyph(i sfnt.GlyphIndex) outline {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o, known := f.glyphs[i]; known {
		return o
	}
	ppem := fixed.I(int(f.em))
	var o outline
	if segments, err := f.font.LoadGlyph(&f.buffer, i, ppem, nil); err == nil {
		o.segments = append(sfnt.Segments(nil), segments...)
	}
	if advance, err := f.font.GlyphAdvance(&f.buffer, i, ppem, font.HintingNone); err == nil {
		o.advance = float64(advance) / 64
	}
	f.glyphs[i] = o
	return o
}

// kern returns the correction between two glyphs, in font units.
func (f *face) kern(a, b sfnt.GlyphIndex) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, err := f.font.Kern(&f.buffer, a, b, fixed.I(int(f.em)), font.HintingNone)
	if err != nil {
		return 0 // the font has none
	}
	return float64(k) / 64
}

// cssFont is what of a CSS font is heeded.
type cssFont struct {
	size float64 // pixels
	bold bool
}

// parseFont reads a CSS font as ECharts writes it, e.g. "normal bold 12px Arial".
func parseFont(s string) cssFont {
	f := cssFont{size: 12}
	for word := range strings.FieldsSeq(s) {
		if number, found := strings.CutSuffix(word, "px"); found {
			if size, err := strconv.ParseFloat(number, 64); err == nil {
				f.size = size
			}
			break
		}
		if weight, err := strconv.Atoi(word); err == nil && weight >= 600 || word == "bold" || word == "bolder" {
			f.bold = true
		}
	}
	return f
}

// placed is one glyph of a line of text.
type placed struct {
	face  *face
	index sfnt.GlyphIndex
	x     float64 // pixels from the start
	tofu  bool    // nobody has it: a box is drawn
	char  rune
}

// set places the glyphs of a text, without line breaks, and returns its width.
func (f *fonts) set(text string, css cssFont) (line []placed, width float64) {
	main := f.regular
	if css.bold {
		main = f.bold
	}
	var before placed
	for _, r := range norm.NFC.String(text) {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf) {
			continue
		}
		p := placed{face: main, index: main.index(r), char: r}
		for _, other := range f.fallback {
			if p.index != 0 {
				break
			}
			p.face, p.index = other, other.index(r)
		}
		if p.index == 0 {
			p.face, p.tofu = main, !unicode.IsSpace(r)
		}
		if before.face == p.face && before.index != 0 && p.index != 0 && kerned(before.char, r) {
			width += p.face.kern(before.index, p.index) * css.size / p.face.em
		}
		p.x = width
		line = append(line, p)
		width += f.advance(p, r) * css.size
		before = p
	}
	return line, width
}

// kerned reports whether two characters may be moved together. The kern table of
// the fonts also moves figures and what stands beside a space; browsers go by
// another table, which does not.
func kerned(a, b rune) bool {
	return !unicode.IsSpace(a) && !unicode.IsSpace(b) && !(unicode.IsDigit(a) && unicode.IsDigit(b))
}

// advance is the width of a glyph in ems. Wide characters that nobody has are as
// wide as they would be: ECharts takes the height of its lines from one.
func (f *fonts) advance(p placed, r rune) float64 {
	if p.index != 0 {
		return p.face.glyph(p.index).advance / p.face.em
	}
	if r >= 0x1100 {
		return 1
	}
	return 0.6
}

// measure is the width of a text in a CSS font, in pixels.
func (f *fonts) measure(text, css string) float64 {
	_, width := f.set(text, parseFont(css))
	return width
}

// lacks notes a character that was drawn as a box.
func (f *fonts) lacks(r rune) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missing[r] = true
}
