// Package reports turns a portfolio into what one recipient gets. Scope is
// enforced before anything is computed: a row of a customer that the recipient
// may not see reaches neither a metric nor a template.
//
//  1. [Ownership] says who may see which customers, as a [Scope];
//  2. [Portfolio.Document] cuts the inputs down to the scope, without the money
//     columns for roles that see none, and computes the [Document]: the numbers,
//     in the form of the command `tidemark metrics --format json`;
//  3. [Build] puts a document into the words of a role and a language: a
//     [Digest] of finished texts, where the names of customers are cleaned;
//  4. [Render] lays a digest out as HTML, text, CSV and interactive page.
//
// Money is exact and never added across currencies. Every step is a function of
// its input: equal input gives equal bytes.
package reports

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
)

// Role is the key of a kind of recipient.
type Role string

// The roles.
const (
	SalesAgent  Role = "sales_agent"
	AdminAgent  Role = "admin_agent"
	UserAdmin   Role = "user_admin"
	GlobalAdmin Role = "global_admin"
)

// Roles returns every role in the order they are listed in.
func Roles() []Role { return []Role{SalesAgent, AdminAgent, UserAdmin, GlobalAdmin} }

// ParseRole reads the key of a role.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fmt.Errorf("role %q: want sales_agent, admin_agent, user_admin or global_admin", s)
}

// Policy is what a role may see.
type Policy struct {
	OwnOnly   bool // only the customers assigned to the recipient
	ShowMoney bool
}

// HideMoney returns the policy without money.
func (p Policy) HideMoney() Policy {
	p.ShowMoney = false
	return p
}

// Policy returns what the role sees when the configuration says nothing else.
// An unknown role sees nothing: own customers only, no money.
func (r Role) Policy() Policy {
	switch r {
	case SalesAgent:
		return Policy{OwnOnly: true, ShowMoney: true}
	case AdminAgent, GlobalAdmin:
		return Policy{ShowMoney: true}
	case UserAdmin:
		return Policy{}
	}
	return Policy{OwnOnly: true}
}

// Scope is a set of customers that somebody may see. The zero value is the
// empty set.
type Scope struct {
	others bool // customers not in listed belong to the set
	listed map[data.CustomerID]bool
}

// Everyone is the scope of all customers.
func Everyone() Scope { return Scope{others: true} }

// Only is the scope of the customers given.
func Only(ids ...data.CustomerID) Scope {
	s := Scope{listed: make(map[data.CustomerID]bool, len(ids))}
	for _, id := range ids {
		s.listed[id] = true
	}
	return s
}

// Contains reports whether a customer is in the scope.
func (s Scope) Contains(id data.CustomerID) bool {
	if in, found := s.listed[id]; found {
		return in
	}
	return s.others
}

// all reports whether every customer is in the scope.
func (s Scope) all() bool {
	return s.others && !slices.Contains(slices.Collect(maps.Values(s.listed)), false)
}

// Empty reports whether no customer at all can be in the scope.
func (s Scope) Empty() bool {
	return !s.others && !slices.Contains(slices.Collect(maps.Values(s.listed)), true)
}

// Recipient is somebody a report is made for.
type Recipient struct {
	Address string `json:"address"` // compared in lower case
	Name    string `json:"name"`
	Role    Role   `json:"role"`
	Locale  string `json:"locale"` // e.g. "nl"; empty: the partner's
}

// key is the form in which addresses are compared.
func key(address string) string { return strings.ToLower(strings.TrimSpace(address)) }
