// Command serve runs Microsoft's side of an extraction on loopback, so that a
// person can point tidemark at it: make fake-microsoft. It prints the addresses
// and a configuration to start from, and runs until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	fake "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, time.Now))
}

// flags are the command's flags.
type flags struct {
	size      fake.Size
	options   fake.Options
	seed      uint64
	currency  string
	faults    []fake.Fault
	exports   string
	perTenant bool
}

// run serves until ctx ends: 0 done, 1 failed, 2 usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, now func() time.Time) int {
	f, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "serve:", err)
		return 2
	}
	if err := f.serve(ctx, stdout, now); err != nil {
		_, _ = fmt.Fprintln(stderr, "serve:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (*flags, error) {
	f := new(flags)
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&f.size.Customers, "customers", 20, "customers")
	fs.IntVar(&f.size.Azure, "azure", 0, "Azure subscriptions of all customers together (default two per customer)")
	fs.IntVar(&f.size.Days, "days", 70, "days of usage up to yesterday")
	fs.IntVar(&f.size.Lines, "lines", 4, "lines of usage a day and Azure subscription")
	fs.IntVar(&f.size.BlobsPerDay, "blobs", 1, "blobs a day of usage")
	fs.StringVar(&f.currency, "currencies", "EUR", "billing currencies, with commas between")
	fs.Uint64Var(&f.seed, "seed", 1, "another number is another partner")
	fs.DurationVar(&f.options.Latency, "latency", 0, "wait before each answer, e.g. 50ms")
	fs.IntVar(&f.options.Port, "port", 0, "ports from this one on: login, api, graph, blob, storage (default any)")
	fs.IntVar(&f.options.Budget.Requests, "budget", 500, "requests a minute on customers and subscriptions; -1: no limit")
	fs.StringVar(&f.exports, "exports", "", "folder to write cost exports in FOCUS format into, too")
	fs.BoolVar(&f.perTenant, "export-per-customer", false, "a cost export for each customer, not one for all")
	fs.Func("fault", "what goes wrong, any number of times: NAME, NAME@3 the third time, NAME%10 every tenth time;\nNAME is one of "+
		strings.Join(fake.FaultNames(), " "), f.addFault)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	f.size.Currencies = strings.Split(f.currency, ",")
	return f, nil
}

// addFault reads NAME, NAME@n or NAME%n.
func (f *flags) addFault(s string) error {
	name, rest := s, ""
	if i := strings.IndexAny(s, "@%"); i >= 0 {
		name, rest = s[:i], s[i:]
	}
	fault, ok := fake.ByName()[name]
	if !ok {
		return fmt.Errorf("no fault is called %q", name)
	}
	if rest != "" {
		n, err := strconv.Atoi(rest[1:])
		if err != nil || n < 1 {
			return fmt.Errorf("%q: %q is no count", s, rest[1:])
		}
		if rest[0] == '@' {
			fault = fault.At(n)
		} else {
			fault = fault.EveryNth(n)
		}
	}
	f.faults = append(f.faults, fault)
	return nil
}

// serve starts the hosts, tells where they are, and waits.
func (f *flags) serve(ctx context.Context, stdout io.Writer, now func() time.Time) error {
	f.size.Today = now()
	p := fake.NewPartner(f.seed, f.size)
	s := fake.NewWith(p, now, f.options)
	s.Script(f.faults...)
	at, err := s.Start()
	if err != nil {
		return err
	}
	exports := fake.CostExports{Today: now(), PerCustomer: f.perTenant}
	files, _ := p.ExportFiles(exports)
	s.Put(files...)
	if f.exports != "" {
		if _, err := p.WriteExports(f.exports, exports); err != nil {
			return errors.Join(fmt.Errorf("write exports: %w", err), s.Close())
		}
	}
	_, err = fmt.Fprintf(stdout, snippet, p.Name, len(p.Customers), at.Login, at.API, at.Graph, at.Blob, at.Storage, fake.Container,
		s.ContainerSAS(7*24*time.Hour), at.Graph, at.Graph, s.Secrets()[0], p.TenantID, fake.DefaultClient, strings.Join(p.Currencies, ", "), at.Login, at.API, at.Graph)
	if err == nil {
		<-ctx.Done()
	}
	counts := ""
	for _, host := range []string{fake.Login, fake.API, fake.Graph, fake.Blob, fake.Storage} {
		counts += fmt.Sprintf(" %s %d", host, s.Count(host))
	}
	_, _ = fmt.Fprintf(stdout, "\nrequests:%s\n", counts)
	for _, m := range s.Mails() {
		_, _ = fmt.Fprintf(stdout, "mail from %s to %s\n", m.Mailbox, strings.Join(m.To, ", "))
	}
	for _, l := range s.Leaks() {
		_, _ = fmt.Fprintf(stdout, "leak: a token made for %q went to %s%s\n", l.Token, l.Host, l.Path)
	}
	return errors.Join(err, s.Close())
}

const snippet = `# %s, %d customers
# login   %s
# api     %s
# graph   %s
# blob    %s
# storage %s/%s?%s
#
# %s/control/sent/1 is the first mail that was sent;
# curl --data-binary @FILE.eml %s/control/inbox/usage@partner.example    puts one into the inbox
#
# export TIDEMARK_CLIENT_SECRET=%s

source:
  kind: partnercenter
  tenant: %s
  client_id: %s
  client_secret: env:TIDEMARK_CLIENT_SECRET
  currencies: [%s]
  endpoints:
    login: %s
    api: %s
    graph: %s
recipients: {entra: {}}
mail: {kind: graph, from: "Azure usage <usage@partner.example>", allow_domains: [partner.example], inbox: {kind: graph}}
`
