package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/jobs/source/partnercenter"
	"tidemark/transform"
)

// The exit codes are a contract with whoever runs tidemark from a scheduler.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitWarnings    = 3
	exitNoKnownDay  = 10
	exitBusy        = 11
	exitNotAccepted = 12
	exitNotVerified = 13
	exitHeld        = 14
	exitInterrupted = 130
)

// exitHelp is the topic `tidemark help exit`.
func exitHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "exit",
		Short: "What the exit codes mean",
		Long: `Exit codes:
    0  done
    1  failed
    2  usage or configuration
    3  finished with new warnings: what was asked is done, read stderr
   10  no known day in the period
   11  another run holds the job
   12  some mail was not accepted
   13  the archive is not what was written
   14  held for release
  130  interrupted`,
	}
}

// errNotVerified says that the archive is not what it was.
var errNotVerified = errors.New("archive verification failed")

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode maps the error of a command to the exit code.
func exitCode(err error) int {
	if code, ok := isMonitor(err); ok {
		return code
	}
	var usage usageError
	var config *configError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.As(err, &config):
		return exitUsage
	case errors.Is(err, errWarnings):
		return exitWarnings
	case errors.Is(err, transform.ErrNoKnownDay):
		return exitNoKnownDay
	case errors.Is(err, errBusy), errors.Is(err, partnercenter.ErrBusy):
		return exitBusy
	case errors.Is(err, jobs.ErrNotAccepted):
		return exitNotAccepted
	case errors.Is(err, errNotVerified), archive.IsDamage(err):
		return exitNotVerified
	case errors.Is(err, jobs.ErrHeld):
		return exitHeld
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}
