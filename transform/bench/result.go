package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// result names one of the tables that both sides compute. It is a CSV file
// without a header; amounts have 18 decimals, null is nothing at all and an
// empty text is "".
type result string

const (
	costs      result = "cost"                 // currency, amount, amount before
	categories result = "cost_by_category"     // category, currency, amount, amount before
	customers  result = "cost_by_customer"     // customer, currency, amount, amount before
	days       result = "cost_by_day"          // day, currency, amount, amount of the same day before
	top        result = "top_customers"        // category, rank, customer, currency, cost, cost before (or quantity before), quantity, unit
	counts     result = "with_usage"           // customers, customers before, subscriptions, subscriptions before
	oneSum     result = "cost_by_subscription" // subscription, amount: of the single sum
)

// results are those of the whole job.
func results() []result {
	return []result{costs, categories, customers, days, top, counts}
}

func (r result) path(folder string) string { return filepath.Join(folder, string(r)+".csv") }

// same says in an error where two folders differ, whatever the order of lines.
func same(ours, theirs string, wanted []result) error {
	for _, r := range wanted {
		a, err := sortedLines(r.path(ours))
		if err != nil {
			return err
		}
		b, err := sortedLines(r.path(theirs))
		if err != nil {
			return err
		}
		if len(a) < 2 {
			return fmt.Errorf("compare %s: there is nothing to compare", r)
		}
		if i := differAt(a, b); i >= 0 {
			return fmt.Errorf("compare %s: %d and %d lines, ours has %q where DuckDB has %q", r, len(a), len(b), lineAt(a, i), lineAt(b, i))
		}
	}
	return nil
}

func sortedLines(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	lines := bytes.Split(b, []byte("\n"))
	slices.SortFunc(lines, bytes.Compare)
	return lines, err
}

func differAt(a, b [][]byte) int {
	for i := range max(len(a), len(b)) {
		if !bytes.Equal(lineAt(a, i), lineAt(b, i)) {
			return i
		}
	}
	return -1
}

func lineAt(lines [][]byte, i int) []byte {
	if i < len(lines) {
		return lines[i]
	}
	return nil
}
