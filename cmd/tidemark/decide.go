package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tidemark/jobs"
	"tidemark/jobs/ledger"
)

// release lets a held run go on, if anybody can go on with it: one that was held
// before it had any mail is made by its job, which must be of the configuration.
func (a *app) release(ctx context.Context, c *config, l *ledger.Ledger, id string) error {
	run, err := l.Run(ctx, id)
	if err != nil {
		return err
	}
	stored, err := l.Deliveries(ctx, ledger.Query{Run: id, State: ledger.Pending, Limit: 1})
	if err != nil {
		return err
	}
	if run.State == ledger.Held && len(stored) == 0 && !slices.ContainsFunc(c.Jobs, func(j jobConfig) bool { return j.Name == run.Job }) {
		return fmt.Errorf("run %s has no mails to release, and no job of the configuration makes them: when the cause is mended run the digest again; `tidemark drop %[1]s` ends this one", id)
	}
	if err := l.Release(ctx, id, a.now().Add(c.within()), jobs.Released); err != nil {
		return err
	}
	a.printf("released: `tidemark serve` goes on with %s\n", id)
	return nil
}

// decided ends the alarms that asked for what a person has decided now: of a job
// that was held and is no more, and of mails that were not accepted when none is
// left to decide about.
func (a *app) decided(ctx context.Context, c *config, l *ledger.Ledger) error {
	alarms, err := a.alarms(c)
	if err != nil {
		return err
	}
	raised, err := l.Alarms(ctx)
	if err != nil {
		return err
	}
	for _, al := range raised {
		job, ofJob := strings.CutPrefix(al.Key, jobs.AlarmOf(""))
		if !ofJob {
			continue
		}
		if over, err := a.over(ctx, l, job, al); err != nil {
			return err
		} else if !over {
			continue
		}
		if err := alarms.Clear(ctx, l, al.Key, "tidemark: "+job+" is decided", "What needed a person about job "+job+" is decided."); err != nil {
			return err
		}
	}
	return nil
}

// over reports whether nothing is left to decide about an alarm of a job. A job
// that failed has to end well first.
func (a *app) over(ctx context.Context, l *ledger.Ledger, job string, al ledger.Alarm) (bool, error) {
	state, _, _ := strings.Cut(al.Message, ": ")
	switch ledger.RunState(state) {
	case ledger.Held:
		held, err := l.LastIn(ctx, job, ledger.Held)
		return held == nil, err
	case ledger.Warned:
		counts, err := l.Counts(ctx, "")
		if err != nil || counts[ledger.Refused]+counts[ledger.Unknown]+counts[ledger.Dot] > 0 {
			return false, err
		}
		newest, err := l.Newest(ctx, job, a.now())
		if err != nil || newest == nil {
			return false, err
		}
		out, ok := sendResult(*newest)
		return ok && len(out.Failed) == 0, nil // what could not be made is nobody's to decide
	}
	return false, nil
}
