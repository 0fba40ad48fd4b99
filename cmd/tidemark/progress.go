package main

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"tidemark/data"
)

// progress is a bar on stderr, when that is a terminal.
type progress struct {
	bar     *progressbar.ProgressBar
	app     *app
	name    string // stands before the bar
	counted bool   // it shows things, not bytes
}

func (a *app) progress(name string) *progress { return &progress{app: a, name: name} }

// update shows how much of the input is read, in bytes or, where its size is not
// known, in rows.
func (p *progress) update(t *data.Tally) {
	if t.TotalBytes == 0 {
		p.show(t.Read, -1)
		return
	}
	p.show(t.Bytes, t.TotalBytes)
}

// show shows how many bytes of a total are done; a negative total is unknown.
func (p *progress) show(done, total int64) {
	if p.bar == nil {
		if !p.app.onTerminal() {
			return
		}
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.app.stderr), progressbar.OptionSetDescription(p.name),
			progressbar.OptionShowBytes(total > 0 && !p.counted), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set64(done) // a bar that cannot be drawn is no reason to stop
}

// steps returns a function that shows a bar for each thing that is being done.
// It may be called by many goroutines.
func (a *app) steps() func(what string, done, of int) {
	var mu sync.Mutex
	bar := a.progress("")
	return func(what string, done, of int) {
		mu.Lock()
		defer mu.Unlock()
		a.tell(what, int64(done), int64(of))
		if bar.name != what {
			bar.done()
			bar = a.progress(what)
			bar.counted = true
		}
		bar.show(int64(done), int64(of))
		if done == of {
			bar.done()
		}
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// onTerminal reports whether stderr is a terminal and output is wanted.
func (a *app) onTerminal() bool {
	return !a.quiet && isTerminal(a.stderr)
}

// tell tells whoever looks how far a run is with one of its steps.
func (a *app) tell(step string, done, of int64) {
	if a.report != nil {
		a.report(step, done, of)
	}
}
