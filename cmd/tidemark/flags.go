package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
)

// choice is a flag that takes one of a few words.
type choice struct {
	value   *string
	allowed []string
}

func newChoice(value *string, standard string, allowed []string) *choice {
	*value = standard
	return &choice{value, allowed}
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "word" }
func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("want %s", orList(c.allowed))
	}
	*c.value = s
	return nil
}

// path is a flag that names a file or a folder. An empty name comes of a variable that is not set, and
// is no wish for what holds without the flag.
type path string

func (p *path) String() string { return string(*p) }
func (p *path) Type() string   { return "path" }
func (p *path) Set(s string) error {
	if s == "" {
		return errors.New("want a name")
	}
	*p = path(s)
	return nil
}

func pathFlag(cmd *cobra.Command, value *string, name, usage string) {
	cmd.Flags().Var((*path)(value), name, usage)
}

// moment is a flag that says of when knowledge is: an RFC 3339 time, or a day, which means its end.
type moment struct{ at *time.Time }

func (m *moment) String() string {
	if m.at == nil {
		return ""
	}
	return m.at.UTC().Format(time.RFC3339Nano)
}
func (m *moment) Type() string { return "time" }
func (m *moment) Set(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		d, err := data.ParseDay(s)
		if err != nil {
			return errors.New("want a day 2026-11-20 (its end in UTC) or a time 2026-11-20T08:00:00Z")
		}
		t = (d + 1).Time().Add(-time.Microsecond)
	}
	m.at = &t
	return nil
}

func asOfFlag(cmd *cobra.Command, m *moment) {
	cmd.Flags().Var(m, "as-of", "what was known at `TIME`: a day or an RFC 3339 time")
}

// needsSubcommand is what a command does that only has subcommands: in a script
// a forgotten word must not look like success.
func needsSubcommand(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return usagef("%s needs a subcommand: %s; see `%[1]s --help`", cmd.CommandPath(), orList(names))
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// dayFlags are --day, --from and --to.
type dayFlags struct{ day, from, to string }

func (f *dayFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.day, "day", "", "one usage `DAY`, e.g. 2026-11-20")
	cmd.Flags().StringVar(&f.from, "from", "", "first usage `DAY`")
	cmd.Flags().StringVar(&f.to, "to", "", "last usage `DAY`")
}

// period returns the days asked for; nil without any of the flags.
func (f dayFlags) period() (*data.Period, error) {
	switch {
	case f == dayFlags{}:
		return nil, nil
	case f.day != "" && (f.from != "" || f.to != ""):
		return nil, usagef("--day stands beside --from or --to: give one day, or a range")
	case f.day != "":
		day, err := parseDayFlag("--day", f.day)
		return &data.Period{From: day, To: day}, err
	case f.from == "" || f.to == "":
		return nil, usagef("--from and --to go together")
	}
	from, err := parseDayFlag("--from", f.from)
	if err != nil {
		return nil, err
	}
	to, err := parseDayFlag("--to", f.to)
	if err != nil {
		return nil, err
	}
	if to < from {
		return nil, usagef("--to %s is before --from %s", to, from)
	}
	return &data.Period{From: from, To: to}, nil
}

func parseDayFlag(flag, text string) (data.Day, error) {
	d, err := data.ParseDay(text)
	if err != nil {
		return 0, usagef("%s %q is %w", flag, text, err)
	}
	return d, nil
}
