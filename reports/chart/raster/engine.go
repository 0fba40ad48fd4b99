package raster

import (
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/dop251/goja"
)

//go:embed record.js
var recorder string

// recording is what ECharts drew.
type recording struct {
	numbers []float64
	texts   []string
}

// engine is one JavaScript runtime with the chart script. It is used by one
// goroutine at a time.
type engine struct {
	vm     *goja.Runtime
	record goja.Callable
}

// programs are the scripts, compiled once for all engines.
type programs struct{ library, recorder *goja.Program }

func compile(script []byte) (programs, error) {
	library, err := goja.Compile("echarts.min.js", string(script), false)
	if err != nil {
		return programs{}, fmt.Errorf("compile chart script: %w", err)
	}
	shim, err := goja.Compile("record.js", recorder, false)
	return programs{library, shim}, err
}

// newEngine starts a runtime. measure returns the width of a text in a CSS font.
func newEngine(p programs, measure func(text, font string) float64) (*engine, error) {
	e := &engine{vm: goja.New()}
	if err := e.vm.Set("__measure", measure); err != nil {
		return nil, err
	}
	// The recorder first: the script asks for timers when it is loaded.
	for _, program := range []*goja.Program{p.recorder, p.library} {
		if _, err := e.vm.RunProgram(program); err != nil {
			return nil, fmt.Errorf("start chart engine: %w", err)
		}
	}
	if _, err := e.vm.RunString("connect()"); err != nil {
		return nil, fmt.Errorf("start chart engine: %w", err)
	}
	record, ok := goja.AssertFunction(e.vm.Get("record"))
	if !ok {
		return nil, errors.New("start chart engine: record.js defines no record")
	}
	e.record = record
	return e, nil
}

// draw has ECharts draw an option, and stops it when ctx ends.
func (e *engine) draw(ctx context.Context, option []byte, width, height int, ratio float64, family string) (recording, error) {
	stop := context.AfterFunc(ctx, func() { e.vm.Interrupt(ctx.Err()) })
	v, err := e.record(goja.Undefined(), e.vm.ToValue(string(option)), e.vm.ToValue(width), e.vm.ToValue(height), e.vm.ToValue(ratio), e.vm.ToValue(family))
	if !stop() {
		e.vm.ClearInterrupt()
	}
	var interrupted *goja.InterruptedError
	switch {
	case errors.As(err, &interrupted) && ctx.Err() != nil:
		return recording{}, ctx.Err()
	case err != nil:
		return recording{}, err
	}
	return e.recorded(v.ToObject(e.vm))
}

// recorded copies what was drawn out of the runtime.
func (e *engine) recorded(out *goja.Object) (recording, error) {
	if lacks := out.Get("missing").String(); lacks != "" {
		return recording{}, fmt.Errorf("the chart uses what is not drawn here: %s", lacks)
	}
	buffer, ok := out.Get("numbers").Export().(goja.ArrayBuffer)
	if !ok {
		return recording{}, errors.New("record.js returned no numbers")
	}
	raw := buffer.Bytes()
	r := recording{numbers: make([]float64, out.Get("count").ToInteger())}
	for i := range r.numbers {
		r.numbers[i] = math.Float64frombits(binary.NativeEndian.Uint64(raw[8*i:]))
	}
	return r, json.Unmarshal([]byte(out.Get("texts").String()), &r.texts)
}
