// Package data holds the vocabulary that every other package speaks: days and
// periods, identifiers, exact decimals, the row types with their Parquet tags,
// the Arrow schemas, and the two interfaces a source of snapshots implements.
//
// A row travels like this:
//
//  1. a [UsageSource] or [InventorySource] yields rows ([Usage], [Customer],
//     [Subscription]), and a [*RowError] for each row it cannot accept;
//  2. the archive writes rows as Parquet by the struct tags here and reads them
//     back as Arrow records with the schemas here ([UsageSchema] and its kin);
//  3. everything above works on those records and on [Day], [Period] and
//     [Decimal], never on floats for money and never on local time.
package data

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// CustomerID names one customer of the partner, always in lower case.
type CustomerID string

// SubscriptionID names one Azure subscription, always in lower case.
type SubscriptionID string

// CleanID returns an identifier as it is stored and compared: without
// surrounding space, in lower case.
func CleanID(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// Status is the state of a subscription on a day.
type Status string

// The states a subscription can have. StatusUnknown stands for a value the
// source did not give or that nobody here has seen before.
const (
	StatusActive        Status = "active"
	StatusSuspended     Status = "suspended"
	StatusDeprovisioned Status = "deprovisioned"
	StatusExpired       Status = "expired"
	StatusPending       Status = "pending"
	StatusUnknown       Status = "unknown"
)

// ParseStatus reads a status in any case; an empty text is StatusUnknown.
func ParseStatus(s string) (Status, error) {
	switch st := Status(CleanID(s)); st {
	case StatusActive, StatusSuspended, StatusDeprovisioned, StatusExpired, StatusPending, StatusUnknown:
		return st, nil
	case "":
		return StatusUnknown, nil
	}
	return StatusUnknown, errors.New("not a status: want active, suspended, deprovisioned, expired, pending or unknown")
}

// Ended reports whether the status is one that counts as churn: Partner Center
// counts a subscription as churned when it is deprovisioned or suspended.
func (s Status) Ended() bool { return s == StatusSuspended || s == StatusDeprovisioned }

// ChargeCategory says what kind of charge a usage row is (FOCUS ChargeCategory).
type ChargeCategory string

// The charge categories of FOCUS. Only ChargeUsage counts as usage; every one
// but ChargeTax counts as cost.
const (
	ChargeUsage      ChargeCategory = "usage"
	ChargePurchase   ChargeCategory = "purchase"
	ChargeCredit     ChargeCategory = "credit"
	ChargeTax        ChargeCategory = "tax"
	ChargeAdjustment ChargeCategory = "adjustment"
)

// ParseChargeCategory reads a charge category in any case; empty is ChargeUsage.
func ParseChargeCategory(s string) (ChargeCategory, error) {
	switch c := ChargeCategory(CleanID(s)); c {
	case ChargeUsage, ChargePurchase, ChargeCredit, ChargeTax, ChargeAdjustment:
		return c, nil
	case "":
		return ChargeUsage, nil
	}
	return "", errors.New("not a charge category: want usage, purchase, credit, tax or adjustment")
}

// ParseCurrency reads an ISO 4217 code in any case.
func ParseCurrency(s string) (string, error) {
	code := strings.ToUpper(s)
	if len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", errors.New("not a currency: want an ISO 4217 code, e.g. EUR")
	}
	return code, nil
}

// Basis says where a subscription's creation date comes from.
type Basis string

// The bases of a creation date, from the most to the least direct.
const (
	BasisSource     Basis = "source"      // the source states it
	BasisPlan       Basis = "plan"        // the plan's date, in the archive's first snapshot
	BasisFirstSeen  Basis = "first_seen"  // the first snapshot that has the subscription
	BasisFirstUsage Basis = "first_usage" // the first day with usage
)

// UsageSource yields usage rows. Implementations stream: memory does not grow
// with the input.
type UsageSource interface {
	// Kind is the source's key in the configuration, e.g. "tables".
	Kind() string
	// Usage yields the rows whose day lies in want; a nil want means every row.
	// A row that cannot be accepted is yielded as a *RowError and the sequence
	// goes on; any other error ends it and refuses the whole extraction. What
	// was read, left out or rounded is added to tally, which is not nil.
	Usage(ctx context.Context, want *Period, tally *Tally) iter.Seq2[Usage, error]
}

// InventorySource yields the customers and subscriptions that exist now, with
// the same rules for errors as UsageSource.
type InventorySource interface {
	// Kind is the source's key in the configuration, e.g. "tables".
	Kind() string
	// Customers yields one row per customer.
	Customers(ctx context.Context, tally *Tally) iter.Seq2[Customer, error]
	// Subscriptions yields one row per subscription.
	Subscriptions(ctx context.Context, tally *Tally) iter.Seq2[Subscription, error]
}

// Tally counts what a source met while it was read. It is written by the
// goroutine that ranges over the sequence and read after it or, for Bytes and
// TotalBytes, in between by the same goroutine.
type Tally struct {
	Read       int64            // rows yielded and wanted, bad ones included
	LeftOut    map[string]int64 // rows skipped on purpose by reason, e.g. "provider AWS": 942
	Rounded    int64            // values with more than 18 decimals, rounded half-even
	Bytes      int64            // input bytes read so far, for progress
	TotalBytes int64            // input bytes in all, 0 when unknown
	Warnings   []string         // what somebody should look at, e.g. a newer file that is not whole yet
	Notes      []string         // what is worth telling, with nothing to do about it
	Covers     []Period         // usage days that the input is complete for, in order, set before the first row; nil: those from the first to the last row
	Restates   []Restated       // what the input has as a whole, set before the first row
	Awaits     []Awaited        // days for which a part of the source is behind the others
}

// Awaited are days for which a part of a source is behind the others. They do not
// count as extracted, as little as days of which there is nothing, unless they did
// before.
type Awaited struct {
	Days  Period
	Scope string // of that part, e.g. of an export
}

// Restated is a scope's billing period that an input has as a whole, in every
// currency: what an earlier input had of it beside is gone.
type Restated struct {
	Scope  string    // as in Origin, e.g. that of an export
	Period string    // billing period, e.g. "2026-11"
	AsOf   time.Time // when the remote side made it, or some days of it; zero where it does not say
	Full   time.Time // the same of what was read with all of its days, of what an archive has
	Last   Day       // last day that it has a row of, as far as that is known; else 0
}

// Skip counts one row that was left out for the given reason.
func (t *Tally) Skip(reason string) {
	if t.LeftOut == nil {
		t.LeftOut = make(map[string]int64)
	}
	t.LeftOut[reason]++
}

// RowError is one row that a source could not accept. It goes to quarantine;
// the rows around it are kept.
type RowError struct {
	File   string // base name or path below the source's folder, e.g. "usage.csv"
	Line   int64  // 1-based line of a text file, or 1-based row of a Parquet file
	Column string // name of the column, e.g. "quantity"; empty for the row as a whole
	Value  string // the refused text, shortened to 200 characters
	Reason string // why, e.g. "not a decimal number"

	ID  string // id of the customer or subscription that an inventory row is of, cleaned; empty where it cannot be read
	Day *Day   // of a usage row; nil where it cannot be read
}

// Error gives the place and the reason. The value is quoted, since it may hold
// anything, line breaks and terminal escapes included.
func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason)
	}
	return fmt.Sprintf("%s:%d: column %s: %q: %s", e.File, e.Line, e.Column, e.Value, e.Reason)
}

// CustomerError is one customer that an inventory source could not read. The
// others are kept; what the archive last knew of this one stays.
type CustomerError struct {
	CustomerID CustomerID
	Reason     string // short and the same while the cause is, e.g. "403 20002"
	Permanent  bool   // another try gives the same
	Err        error
}

func (e *CustomerError) Error() string {
	return fmt.Sprintf("customer %s: %v", e.CustomerID, e.Err)
}
func (e *CustomerError) Unwrap() error { return e.Err }

// Unfinished ends a sequence whose time was over. What was read is kept by the
// source: the next run goes on there.
type Unfinished struct {
	Err   error
	After time.Duration // the time that was allowed
	Done  string        // how far it was, e.g. "310 of 5000 customers are read"; empty where nothing was asked for yet
}

func (e *Unfinished) Error() string {
	if e.Done == "" {
		return fmt.Sprintf("%v after %s; run again to go on there", e.Err, e.After)
	}
	return fmt.Sprintf("%v after %s: %s; run again to go on there", e.Err, e.After, e.Done)
}
func (e *Unfinished) Unwrap() error { return e.Err }
