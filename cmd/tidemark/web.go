package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/jobs/console"
	"tidemark/jobs/ledger"
)

// webConfig is where serve shows what it does.
type webConfig struct {
	Listen string `yaml:"listen"` // 127.0.0.1:8440; empty: nowhere
}

func (k *checker) web() {
	listen := k.c.Web.Listen
	if listen == "" {
		return
	}
	if err := console.CheckAddress(listen); err != nil {
		k.report("web.listen", err.Error(), "want e.g. 127.0.0.1:8440: the pages ask nobody who they are; for other machines put a reverse proxy that does, or an ssh tunnel, before it")
	}
}

// serveWeb serves the pages of a configuration that wants them, until the
// returned function is called.
//
// current is the configuration in force.
func (a *app) serveWeb(ctx context.Context, current func() *config, tick time.Duration) (done func() error, err error) {
	if a.board == nil {
		return func() error { return nil }, nil
	}
	c := current()
	l, err := ledger.OpenReadOnly(ctx, c.ledgerPath(), ledger.Options{Now: a.now})
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(c.Partner.Timezone)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	open := a.archiveOnce(c)
	pages, err := console.New(console.Options{Ledger: l, Archive: open, Board: a.board, Tick: tick, Version: currentVersion().Version, Now: a.now, Zone: zone, Log: a.log(),
		Status: func(ctx context.Context) (console.Status, error) { return a.webStatus(ctx, current(), l, open) }})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	server, err := console.Listen(ctx, c.Web.Listen, pages, console.Limits{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("web.listen %s: %w; set another port, or take web out", c.Web.Listen, err), l.Close())
	}
	stop := context.AfterFunc(ctx, pages.Stop) // not ready while runs end
	a.log().Info("web", "url", server.URL())
	return func() error {
		stop()
		return errors.Join(server.Close(ctx), l.Close())
	}, nil
}

// archiveOnce returns a function that opens the archive when it is there, and
// keeps it open.
func (a *app) archiveOnce(c *config) func(context.Context) (*archive.Archive, error) {
	var mu sync.Mutex
	var open *archive.Archive
	return func(ctx context.Context) (*archive.Archive, error) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := c.archivePath(true); err != nil { // it may have gone since
			return nil, err
		}
		if open != nil {
			return open, nil
		}
		arc, err := a.openArchive(ctx, c, true)
		if err == nil {
			open = arc
		}
		return arc, err
	}
}

// webStatus is `tidemark status` for the pages.
func (a *app) webStatus(ctx context.Context, c *config, l *ledger.Ledger, open func(context.Context) (*archive.Archive, error)) (console.Status, error) {
	s, err := a.statusOf(ctx, c, l, func() (*archive.View, error) {
		arc, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return arc.View(ctx, nil)
	})
	if err != nil {
		return console.Status{}, err
	}
	paused, err := l.Paused(ctx)
	if err != nil {
		return console.Status{}, err
	}
	level, why := s.level()
	out := console.Status{Level: level, Why: why, Watermark: s.Watermark, Seal: s.Seal, Mail: maps.Clone(s.Mail), Waiting: s.Waiting,
		Alarms: s.Alarms, DiskFree: s.DiskFree, Notes: s.Notes}
	for i, j := range c.Jobs {
		js := s.Jobs[i]
		job := console.Job{Name: j.Name, Do: j.Do, Role: j.Role, Period: j.Period, Cron: j.Cron, Zone: cmp.Or(j.Timezone, c.Partner.Timezone, "UTC"), After: j.After,
			Last: js.Last, Success: js.Success, UpTo: js.UpTo, Overdue: js.Overdue}
		if why, found := paused[j.Name]; found {
			job.Pause = &why
		}
		schedule, err := jobs.ParseSchedule(j.Cron, cmp.Or(j.Timezone, c.Partner.Timezone))
		if err != nil {
			return out, fmt.Errorf("job %s: %w", j.Name, err)
		}
		job.Warning = schedule.Warning()
		job.Next = nextTimes(schedule, a.now(), 5)
		out.Jobs = append(out.Jobs, job)
	}
	return out, nil
}

// nextTimes returns when a schedule is due next, at most n times.
func nextTimes(s jobs.Schedule, after time.Time, n int) (next []time.Time) {
	for at := s.Next(after); len(next) < n && !at.IsZero(); at = s.Next(at) {
		next = append(next, at)
	}
	return slices.Clip(next)
}

// watched is the app for one run, whose steps then stand on the board.
func (a *app) watched(run *ledger.Run) *app {
	if a.board == nil {
		return a
	}
	w := *a
	w.report = func(step string, done, of int64) { a.board.Step(run.ID, step, done, of) }
	return &w
}

// tellTally tells how much of the input of an extraction is read.
func (a *app) tellTally(t *data.Tally) {
	if t.TotalBytes > 0 {
		a.tell("read usage, bytes", t.Bytes, t.TotalBytes)
		return
	}
	a.tell("read usage, rows", t.Read, 0)
}
