//go:build !ours

package main

// With the tag ours the program goes without DuckDB, whose size is no part of what ours takes.
import _ "github.com/duckdb/duckdb-go/v2"
