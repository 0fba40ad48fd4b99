package reports

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteOwners writes an ownership file for all customers of the document, the
// largest monthly cost first: customer_id, address, name, monthly_cost. Who
// owns a customer already is kept, one row for each owner; the other addresses
// are empty, to be filled in. own may be nil. ReadOwnership reads the result.
func WriteOwners(w io.Writer, d *Document, own *Ownership) error {
	costs, err := d.customerCosts()
	if err != nil {
		return fmt.Errorf("write owners: %w", err)
	}
	customers := slices.Sorted(maps.Keys(d.Background.Customers))
	bySize(customers, costs)
	out := csv.NewWriter(w)
	rows := [][]string{{"customer_id", "address", "name", "monthly_cost"}}
	if own != nil {
		for _, owner := range own.defaults {
			rows = append(rows, []string{defaultOwner, Guarded(owner), "", ""})
		}
	}
	for _, id := range customers {
		var amounts []string
		for _, m := range costs[id] {
			amounts = append(amounts, m.String())
		}
		owners := []string{""}
		if own != nil && len(own.owners[id]) > 0 {
			owners = own.owners[id]
		}
		for _, owner := range owners {
			rows = append(rows, []string{Guarded(string(id)), Guarded(owner), Guarded(clean(d.Background.Customers[id].Name)),
				Guarded(strings.Join(amounts, " + "))})
		}
	}
	if err := cmp.Or(out.WriteAll(rows), out.Error()); err != nil {
		return fmt.Errorf("write owners: %w", err)
	}
	return nil
}
