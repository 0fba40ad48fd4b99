package raster

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are the settings of a Renderer; the zero value but for Script works.
type Options struct {
	Script  []byte        // defines the global echarts
	Fonts   []string      // files with characters that the built-in fonts lack; nil: what systems have
	Ratio   float64       // device pixels per pixel; 0 means 2
	Timeout time.Duration // of one picture; 0 means 20 s
	Engines int           // that are kept; 0 means 2
}

// Renderer draws charts. It is safe for several goroutines.
type Renderer struct {
	o        Options
	programs programs
	fonts    *fonts
	idle     chan *engine

	mu    sync.Mutex
	drawn map[[32]byte][]byte // pictures by hash: many mails share one
}

// maxDrawn is how many pictures are remembered.
const maxDrawn = 256

// ErrBlank says that a chart would show nothing: no data, or a kind of series
// that the script does not have.
var ErrBlank = errors.New("the chart shows nothing")

// New compiles the script and loads the fonts. Those that cannot be read are left out,
// see Unreadable.
func New(o Options) (*Renderer, error) {
	if o.Ratio == 0 {
		o.Ratio = 2
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Engines == 0 {
		o.Engines = 2
	}
	if o.Fonts == nil {
		o.Fonts = fallbackFonts()
	}
	f, err := builtIn()
	if err != nil {
		return nil, err
	}
	for _, path := range o.Fonts {
		if err := f.add(path); err != nil {
			f.unreadable = append(f.unreadable, fmt.Errorf("font %s: %w", path, err))
		}
	}
	p, err := compile(o.Script)
	if err != nil {
		return nil, err
	}
	return &Renderer{o: o, programs: p, fonts: f, idle: make(chan *engine, o.Engines), drawn: map[[32]byte][]byte{}}, nil
}

// PNG draws the option JSON of a chart, width by height pixels, as an opaque PNG
// of Ratio times that size. The caller must not change the bytes.
func (r *Renderer) PNG(ctx context.Context, option []byte, width, height int) ([]byte, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", width, height, option))
	r.mu.Lock()
	known := r.drawn[key]
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	b, err := r.draw(ctx, option, width, height)
	if err != nil {
		return nil, fmt.Errorf("draw chart: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.drawn) >= maxDrawn {
		clear(r.drawn)
	}
	r.drawn[key] = b
	return b, nil
}

func (r *Renderer) draw(ctx context.Context, option []byte, width, height int) ([]byte, error) {
	if err := check(option); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	e, err := r.engine()
	if err != nil {
		return nil, err
	}
	rec, err := e.draw(ctx, option, width, height, r.o.Ratio, family)
	if err != nil {
		return nil, err // the engine may be spoilt: it is not kept
	}
	select {
	case r.idle <- e:
	default: // enough are kept
	}
	img, marks, err := play(ctx, rec, r.fonts, int(float64(width)*r.o.Ratio), int(float64(height)*r.o.Ratio))
	if err == nil && marks < 2 { // the background alone
		err = ErrBlank
	}
	if err != nil {
		return nil, err
	}
	return encode(img)
}

// engine takes one that is idle, or starts one.
func (r *Renderer) engine() (*engine, error) {
	select {
	case e := <-r.idle:
		return e, nil
	default:
		return newEngine(r.programs, r.fonts.measure)
	}
}

// Unreadable returns an error for each font file that cannot be used. Charts are drawn
// without it.
func (r *Renderer) Unreadable() []error { return r.fonts.unreadable }

// Missing returns the characters that were drawn as boxes, because no font has
// them, in order.
func (r *Renderer) Missing() []rune {
	r.fonts.mu.Lock()
	defer r.fonts.mu.Unlock()
	var all []rune
	for c := range r.fonts.missing {
		all = append(all, c)
	}
	slices.Sort(all)
	return all
}

// check refuses what ECharts would draw as an empty picture without a word: a
// kind of series that is not in the script, and series without a value.
func check(option []byte) error {
	var o struct {
		Series []struct {
			Type string            `json:"type"`
			Data []json.RawMessage `json:"data"`
		} `json:"series"`
	}
	if err := json.Unmarshal(option, &o); err != nil {
		return fmt.Errorf("option: %w", err)
	}
	known := []string{"bar", "line", "pie", "heatmap", "scatter"}
	values := 0
	for i, s := range o.Series {
		if !slices.Contains(known, s.Type) {
			return fmt.Errorf("series %d is of kind %q, want one of %s: %w", i, s.Type, strings.Join(known, ", "), ErrBlank)
		}
		for _, v := range s.Data {
			if string(v) != "null" {
				values++
			}
		}
	}
	if values == 0 {
		return fmt.Errorf("no series has a value: %w", ErrBlank)
	}
	return nil
}
