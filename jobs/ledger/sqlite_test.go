//go:build !postgres

package ledger

import "testing"

// openStore opens the ledger in a file.
func openStore(_ testing.TB, file string, o Options) (*Ledger, error) { return Open(ctx, file, o) }
