package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"tidemark/jobs"
	"tidemark/jobs/console"
	"tidemark/jobs/ledger"
)

func (a *app) serveCommand() *cobra.Command {
	var tick time.Duration
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the configured jobs on their schedules until told to stop",
		Long: `Run the configured jobs on their schedules until SIGINT or SIGTERM. What has
begun to leave is then finished, the rest goes on at the next start. Mails that
wait are delivered whatever began them. No job waits for another, unless it has
an after. Several processes may serve one ledger.

SIGHUP has the configuration read again, on Windows a restart does. What runs
ends as it began, the rest follows the new one. While that is wrong the old one
stays in force, and the operators are told what is wrong with it. The paths of
ledger and archive, and web.listen, change with a restart only.

With web.listen in the configuration there are pages about all that, health for
monitors and metrics for Prometheus, on an address of this machine alone.`,
		Example: "  tidemark serve\n  kill -HUP $(pidof tidemark)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tick <= 0 {
				return usagef("--tick %s: want a duration above 0", tick)
			}
			return a.serve(cmd.Context(), tick)
		},
	}
	cmd.Flags().DurationVar(&tick, "tick", 5*time.Second, "how often to look for due slots")
	return cmd
}

func (a *app) serve(ctx context.Context, tick time.Duration) (err error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	c, err := a.config()
	if err != nil {
		return err
	}
	if c.Web.Listen != "" {
		a.board = console.NewBoard(a.now)
	}
	l, err := a.openLedger(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	r, err := a.runnerOn(c, l)
	if err != nil {
		return err
	}
	s := &reloader{a: a, ledger: l, next: make(chan *jobs.Runner, 1)}
	s.inForce.Store(c)
	closeWeb, err := a.serveWeb(ctx, s.inForce.Load, tick)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeWeb()) }()
	s.works(ctx, r)
	reloading, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.reload(reloading, hangups)
	}()
	defer func() { stop(); <-ended }()
	a.log().Info("serving", "jobs", len(r.Jobs))
	a.tellSystemd(daemon.SdNotifyReady)
	defer context.AfterFunc(ctx, func() { a.tellSystemd(daemon.SdNotifyStopping) })()
	return r.Serve(ctx, tick, s.next)
}

// reloader is a serve that can be told to read its configuration again.
type reloader struct {
	a       *app
	ledger  *ledger.Ledger
	inForce atomic.Pointer[config]
	next    chan *jobs.Runner
}

// reload reads the configuration anew at each signal, until the context ends.
func (s *reloader) reload(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		s.a.tellSystemd(daemon.SdNotifyReloading)
		if r, err := s.read(); err != nil {
			s.refused(ctx, err)
		} else {
			select { // one that the scheduler has not taken yet is out of date
			case <-s.next:
			default:
			}
			s.next <- r
			s.works(ctx, r)
			s.a.log().Info("configuration read again", "file", s.inForce.Load().file, "jobs", len(r.Jobs))
		}
		s.a.tellSystemd(daemon.SdNotifyReady)
	}
}

// read makes a runner of the configuration as it is now, which is then in force.
func (s *reloader) read() (*jobs.Runner, error) {
	c, err := s.a.config()
	if err != nil {
		return nil, err
	}
	old := s.inForce.Load()
	var restart []string
	for _, fixed := range []struct{ key, was, is string }{
		{"ledger.path", old.ledgerPath(), c.ledgerPath()},
		{"archive.path", old.path(old.Archive.Path), c.path(c.Archive.Path)},
		{"web.listen", old.Web.Listen, c.Web.Listen},
	} {
		if fixed.was != fixed.is {
			restart = append(restart, fixed.key)
		}
	}
	if len(restart) > 0 {
		return nil, fmt.Errorf("%s: changed with a restart only: %s", c.file, strings.Join(restart, ", "))
	}
	r, err := s.a.runnerOn(c, s.ledger)
	if err == nil {
		s.inForce.Store(c)
	}
	return r, err
}

// refused says that the configuration in force stays, and why.
func (s *reloader) refused(ctx context.Context, err error) {
	s.a.log().Error("the configuration stays as it was", "err", err)
	alarms, alarmErr := s.a.alarms(s.inForce.Load())
	if alarmErr == nil {
		alarmErr = alarms.Raise(ctx, s.ledger, alarmReload, "the new configuration is wrong", "tidemark: the new configuration is wrong",
			fmt.Sprintf("The configuration was to be read again, and stays as it was:\n\n%v\n\nNext: mend it, then tidemark check, and SIGHUP again (systemctl reload tidemark)\n", err))
	}
	if alarmErr != nil {
		s.a.log().Error("alarm", "err", alarmErr)
	}
}

// works ends the alarm of a configuration that was wrong.
func (s *reloader) works(ctx context.Context, r *jobs.Runner) {
	if err := r.Alarms.Clear(ctx, s.ledger, alarmReload, "tidemark: the configuration is right again", "The new configuration is in force."); err != nil {
		s.a.log().Error("alarm", "err", err)
	}
}

// tellSystemd tells how the service is, where systemd has started it and asks for that.
func (a *app) tellSystemd(state string) {
	if state == daemon.SdNotifyReloading {
		state += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.log().Warn("systemd is not told", "state", state, "err", err)
	}
}
