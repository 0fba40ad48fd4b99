// Command tidemark extracts snapshots of a partner's customers, subscriptions
// and Azure usage, archives them, and mails each role its report.
//
// This package only reads flags, configuration, environment and clock, wires
// the packages below it together, prints, and maps errors to exit codes.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // zones must work on machines without zoneinfo

	"github.com/spf13/cobra"

	"tidemark/data/archive"
	"tidemark/jobs/console"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], environment{
		stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now,
	}))
}

// environment is everything the program takes from the outside world.
type environment struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	wrap           func(archive.Bucket) archive.Bucket // for tests that stand between; nil: nothing does
}

// app is one invocation: the environment and the global flags.
type app struct {
	environment
	configFile string
	archiveDir string // --archive, of commands that only read the archive
	logFormat  string
	quiet      bool
	verbose    bool

	board  *console.Board                    // shows what serve does; nil: nothing is shown
	report func(step string, done, of int64) // how far the run is that this app executes; nil: nobody is told
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, env environment) int {
	a := &app{environment: env}
	if fixed := env.getenv("TIDEMARK_NOW"); fixed != "" {
		t, err := time.Parse(time.RFC3339, fixed)
		if err != nil {
			a.complain(fmt.Errorf("TIDEMARK_NOW=%q is not an RFC 3339 time", fixed))
			return exitUsage
		}
		a.now = func() time.Time { return t.UTC() }
	}
	root := a.command()
	root.SetArgs(args)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	err := root.ExecuteContext(ctx)
	code := exitCode(err)
	if _, monitor := isMonitor(err); err != nil && !monitor && code != exitWarnings {
		a.complain(err)
	}
	return code
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "tidemark",
		Short: "Azure usage, archived, scored and mailed to the people who must act on it",
		Long: `tidemark brings Partner Center's Azure usage page to the people who must act on it:
it extracts snapshots of customers, subscriptions and usage, archives them as
Parquet for audits, computes period metrics and churn risk, and mails each role
its own report.

New here?  tidemark demo            the whole pipeline on a built-in sample
           tidemark init            a commented tidemark.yaml to start from
           tidemark help exit       what the exit codes mean`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "configuration `FILE` (default tidemark.yaml, environment TIDEMARK_CONFIG)")
	flags.StringVar(&a.logFormat, "log-format", "text", "format of logs on stderr: text or json")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "only errors on stderr")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "more detail on stderr")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if number := (*strconv.NumError)(nil); errors.As(err, &number) {
			want := "want a whole number"
			if number.Func == "ParseBool" {
				want = "want true or false"
			}
			return usagef("%s", strings.Replace(err.Error(), number.Error(), want, 1))
		}
		return usageError{err}
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmp.Or(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil {
			return usagef("%w; see `%s --help`", err, cmd.CommandPath())
		}
		if a.logFormat != "text" && a.logFormat != "json" {
			return usagef("--log-format %q: want text or json", a.logFormat)
		}
		return nil
	}
	root.AddCommand(a.demoCommand(), a.initCommand(), a.extractCommand(), a.metricsCommand(), a.churnCommand(),
		a.reportCommand(), a.previewCommand(), a.digestCommand(), a.runCommand(), a.serveCommand(), a.jobsCommand(), a.runsCommand(),
		a.deliveriesCommand(), a.releaseCommand(), a.dropCommand(), a.statusCommand(), a.ownersCommand(), a.recipientsCommand(), a.archiveCommand(), a.reproduceCommand(), a.checkCommand(),
		a.versionCommand(), exitHelp())
	root.InitDefaultCompletionCmd()
	wrapUsage(root)
	return root
}

// wrapUsage makes wrong arguments a usage error in every command.
func wrapUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usagef("%w; see `%s --help`", err, c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		wrapUsage(sub)
	}
}

// log returns the logger for stderr.
func (a *app) log() *slog.Logger {
	level := slog.LevelInfo
	switch {
	case a.quiet:
		level = slog.LevelError
	case a.verbose:
		level = slog.LevelDebug
	}
	opts := &slog.HandlerOptions{Level: level}
	if a.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(a.stderr, opts))
}

// complain writes an error to stderr.
func (a *app) complain(err error) { _, _ = fmt.Fprintf(a.stderr, "tidemark: %v\n", err) }

// printf writes to stdout; a reader that went away ends the program elsewhere.
func (a *app) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stdout, format, args...)
}

// config reads the configuration file.
func (a *app) config() (*config, error) {
	file := a.configFile
	if file == "" {
		file = a.getenv("TIDEMARK_CONFIG")
	}
	if file == "" {
		file = "tidemark.yaml"
	}
	return readConfig(file)
}

// errWarnings ends a command that did its work with new warnings.
var errWarnings = errors.New("finished with warnings")

// warn logs the warnings and returns errWarnings when there are any.
func (a *app) warn(warnings []string) error {
	for _, w := range warnings {
		a.log().Warn(w)
	}
	if len(warnings) > 0 {
		return errWarnings
	}
	return nil
}
