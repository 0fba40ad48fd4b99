package main

import (
	"fmt"
	"strings"
)

// position is where a key or value stands in the file, 1-based.
type position struct{ line, column int }

// problem is one thing that is wrong with the configuration.
type problem struct {
	key     string // path of the key, e.g. "source.kind"; empty for the file as a whole
	message string
	hint    string // what to do
	at      position
}

// configError holds every problem of a configuration at once.
type configError struct {
	file     string
	problems []problem
}

func (e *configError) Error() string {
	var b strings.Builder
	for i, p := range e.problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.file)
		if p.at.line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.at.line, p.at.column)
		}
		if p.key != "" {
			b.WriteString(": " + p.key)
		}
		b.WriteString(": " + p.message)
		if p.hint != "" {
			b.WriteString("\n    " + p.hint)
		}
	}
	return b.String()
}
