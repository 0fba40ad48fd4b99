package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if os.Getenv(asTidemark) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], environment{
			stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now, wrap: dyingBucket,
		}))
	}
	testscript.Main(m, map[string]func(){
		"tidemark": func() {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			os.Exit(run(ctx, os.Args[1:], environment{
				stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now,
			}))
		},
	})
}

// TestScripts runs every file of testdata/script: the commands as a person
// types them, with the clock fixed on a Monday morning.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TIDEMARK_NOW", "2026-11-16T07:00:00Z")
			env.Values[tenantKey{}] = new(*gatedTenant)
			env.Values[imapKey{}] = new(*imapmemserver.User)
			env.Values[serving{}] = &servedBy{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":      awaitCommand,
			"awaitlog":   awaitLogCommand,
			"answer":     answerCommand,
			"bounce":     bounceCommand,
			"exitcode":   exitCodeCommand,
			"deliveryid": deliveryIDCommand,
			"edit":       editCommand,
			"fetch":      fetchCommand,
			"gzip":       gzipCommand,
			"hangup":     hangupCommand,
			"terminate":  terminateCommand,
			"imap":       imapCommand,
			"microsoft":  microsoftCommand,
			"parquetcsv": parquetCSVCommand,
			"reportid":   reportIDCommand,
			"serve":      serveCommand,
			"stopserve":  stopCommand,
			"storage":    storageCommand,
			"truncate":   truncateCommand,

			"truncatelast": truncateLastCommand,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
