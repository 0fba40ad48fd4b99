package reports

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
)

// defaultOwner in the customer column names who owns customers without a row.
const defaultOwner = "*"

// Ownership says which customers belong to whom. Several owners of a customer
// all see it.
type Ownership struct {
	owners   map[data.CustomerID][]string // addresses in lower case, in order of the file
	defaults []string                     // owners of the customers that have no row
}

// ReadOwnership reads an ownership file: CSV with a header row that names
// customer_id and address; further columns are ignored. A customer may have
// several rows, and "*" as customer_id names the owner of all customers without
// a row. An empty address means: not assigned yet. name stands in errors, which
// give file, line and column.
func ReadOwnership(name string, r io.Reader) (*Ownership, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	at := func(column int, format string, args ...any) error {
		line, col := in.FieldPos(column)
		return fmt.Errorf("%s:%d:%d: %s", name, line, col, fmt.Sprintf(format, args...))
	}
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s:1:1: the file is empty: want a header row customer_id,address", name)
	}
	if err != nil {
		return nil, csvError(name, err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	customer, address := column(header, "customer_id"), column(header, "address")
	if customer < 0 || address < 0 {
		return nil, at(0, "the header row %q does not name customer_id and address", strings.Join(header, ","))
	}
	o := &Ownership{owners: make(map[data.CustomerID][]string)}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err != nil {
			return nil, csvError(name, err)
		}
		if len(row) <= max(customer, address) {
			return nil, at(len(row)-1, "the row ends before column %d: want customer_id and address", max(customer, address)+1)
		}
		id, owner := data.CleanID(withoutGuard(row[customer])), key(withoutGuard(row[address]))
		switch {
		case id == "":
			return nil, at(customer, "the customer_id is empty")
		case owner == "":
			continue
		case !looksLikeAddress(owner):
			return nil, at(address, "%q is not a mail address", row[address])
		}
		o.add(id, owner)
	}
}

// CSV returns the ownership as a file that ReadOwnership reads back, in a fixed
// order.
func (o *Ownership) CSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"customer_id", "address"}}
	for _, owner := range o.defaults {
		rows = append(rows, []string{defaultOwner, Guarded(owner)})
	}
	for _, id := range o.Customers() {
		for _, owner := range o.owners[id] {
			rows = append(rows, []string{Guarded(string(id)), Guarded(owner)})
		}
	}
	_ = w.WriteAll(rows) // a buffer takes everything
	return b.Bytes()
}

func (o *Ownership) add(id, owner string) {
	if id == defaultOwner {
		o.defaults = appendNew(o.defaults, owner)
		return
	}
	c := data.CustomerID(id)
	o.owners[c] = appendNew(o.owners[c], owner)
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

func column(header []string, name string) int {
	return slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) })
}

// csvError puts what the CSV reader found into the form of the other errors.
func csvError(name string, err error) error {
	if p, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("%s:%d:%d: %w", name, p.Line, p.Column, p.Err)
	}
	return fmt.Errorf("read %s: %w", name, err)
}

func looksLikeAddress(s string) bool {
	local, domain, found := strings.Cut(s, "@")
	return found && local != "" && domain != "" && !strings.ContainsAny(s, " \t\r\n,;<>") && !strings.Contains(domain, "@")
}

// Scope returns the customers that the address owns. An address without rows
// sees nothing.
func (o *Ownership) Scope(address string) Scope {
	address = key(address)
	s := Scope{others: slices.Contains(o.defaults, address), listed: make(map[data.CustomerID]bool)}
	for id, owners := range o.owners {
		s.listed[id] = slices.Contains(owners, address)
	}
	return s
}

// Owners returns the addresses that own a customer, in the order of the file.
func (o *Ownership) Owners(id data.CustomerID) []string {
	if owners, found := o.owners[id]; found {
		return owners
	}
	return o.defaults
}

// Assigned reports whether one of the agents owns the customer.
func (o *Ownership) Assigned(id data.CustomerID, agents []Recipient) bool {
	return slices.ContainsFunc(o.Owners(id), func(owner string) bool {
		return slices.ContainsFunc(agents, func(a Recipient) bool { return key(a.Address) == owner })
	})
}

// OwnershipCheck is what an ownership file and the portfolio disagree on.
type OwnershipCheck struct {
	Unassigned []data.CustomerID // no owner, or only owners who are no sales agents
	Unknown    []data.CustomerID // in the file, not in the portfolio
	Departed   []string          // own customers but are no sales agents
}

// Check compares the ownership with the customers there are and the recipients
// of the role sales_agent.
func (o *Ownership) Check(customers []data.CustomerID, agents []Recipient) OwnershipCheck {
	var c OwnershipCheck
	known := make(map[data.CustomerID]bool, len(customers))
	for _, id := range customers {
		known[id] = true
		if !o.Assigned(id, agents) {
			c.Unassigned = append(c.Unassigned, id)
		}
	}
	addresses := make(map[string]bool, len(agents))
	for _, a := range agents {
		addresses[key(a.Address)] = true
	}
	departed := make(map[string]bool)
	for id, owners := range o.owners {
		if !known[id] {
			c.Unknown = append(c.Unknown, id)
		}
		for _, owner := range owners {
			departed[owner] = !addresses[owner]
		}
	}
	for _, owner := range o.defaults {
		departed[owner] = !addresses[owner]
	}
	maps.DeleteFunc(departed, func(_ string, gone bool) bool { return !gone })
	c.Departed = slices.Sorted(maps.Keys(departed))
	slices.Sort(c.Unassigned)
	slices.Sort(c.Unknown)
	return c
}
