package transform

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"tidemark/data"
)

// detailLines renders the details of a world by their definitions, going through
// all rows for every number.
func (o *oracle) detailLines() []string {
	var out []string
	add := func(name string, lines []string) {
		for _, line := range lines {
			out = append(out, name+": "+line)
		}
	}
	if !o.noMoney {
		add("day of category", o.costOfDays(func(r data.UsageDaily) string { return r.Category }))
		add("day of customer", o.costOfDays(func(r data.UsageDaily) string { return string(r.CustomerID) }))
	}
	add("quantity", o.quantitiesByUnit())
	if o.unknown != "" {
		return out
	}
	if !o.noMoney {
		for _, currency := range []string{"EUR", "JPY", "USD"} {
			add("mover", o.moversOf(currency, "grew"))
		}
		for _, currency := range []string{"EUR", "JPY", "USD"} {
			add("mover", o.moversOf(currency, "fell"))
		}
	}
	add("change", o.categoriesOnOneSide("new", 0))
	add("change", o.categoriesOnOneSide("lost", 1))
	return out
}

func (o *oracle) costOfDays(of func(data.UsageDaily) string) []string {
	keys := map[[2]string]bool{}
	for _, r := range o.rows(0, isCost) {
		if r.Cost != nil {
			keys[[2]string{of(r), r.Currency}] = true
		}
	}
	order := slices.SortedFunc(maps.Keys(keys), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var out []string
	for _, d := range o.days[0] {
		for _, k := range order {
			rows := o.rows(0, func(r data.UsageDaily) bool { return isCost(r) && r.Day == d && of(r) == k[0] && r.Currency == k[1] })
			sum, reason := o.amount(rows, cost), "null"
			if sum == "null" {
				reason = `"not_stated"`
			}
			out = append(out, fmt.Sprintf("%s|%q|%q|%s|%s", d, k[0], k[1], sum, reason))
		}
	}
	return out
}

func (o *oracle) quantitiesByUnit() []string {
	isUsage := func(r data.UsageDaily) bool { return r.ChargeCategory == data.ChargeUsage }
	var out []string
	for _, category := range []string{"", "SQL", "Storage"} {
		for _, unit := range []string{"null", `"GB"`, `"Hours"`} {
			of := func(r data.UsageDaily) bool {
				return isUsage(r) && r.Category == category && textOf(r.Unit) == unit
			}
			now, before := o.rows(0, of), o.rows(1, of)
			if len(now)+len(before) == 0 {
				continue
			}
			stated := func(r data.UsageDaily) bool { return of(r) && r.Quantity != nil }
			value, previous, reason := o.amount(now, quantity), o.amount(before, quantity), "null"
			if len(o.rows(0, stated))+len(o.rows(1, stated)) == 0 {
				value, previous = "null", "null" // nobody knows anything
			}
			if previous == "null" {
				reason = `"not_stated"`
			}
			if o.unknown != "" {
				previous, reason = "null", fmt.Sprintf("%q", o.unknown)
			}
			if value == "null" {
				reason = `"not_stated"`
			}
			out = append(out, fmt.Sprintf("%q|%s|%s|%s|%s", category, unit, value, previous, reason))
		}
	}
	return out
}

// step is how much a cost moved, with both sides of it.
type step struct {
	now, before string
	by          *big.Int
}

// stepOf adds the accepted cost rows up; it is nil where rows of a side exist and
// none states a cost, and where there is no cost at all.
func (o *oracle) stepOf(accept func(data.UsageDaily) bool) *step {
	by, costs := new(big.Int), 0
	var text [2]string
	for side := range 2 {
		rows := o.rows(side, func(r data.UsageDaily) bool { return isCost(r) && accept(r) })
		sum, n := new(big.Int), 0
		for _, r := range rows {
			if r.Cost != nil {
				sum.Add(sum, r.Cost.Arrow().BigInt())
				n++
			}
		}
		if costs += n; n == 0 && len(rows) > 0 {
			return nil
		}
		if side == 1 {
			sum.Neg(sum)
		}
		by.Add(by, sum)
		text[side] = o.amount(rows, cost)
	}
	if costs == 0 {
		return nil
	}
	return &step{text[0], text[1], by}
}

// bigText renders units of 10^-18, noting what does not fit.
func (o *oracle) bigText(n *big.Int) string {
	most, _ := new(big.Int).SetString("99999999999999999999999999999999999999", 10)
	if new(big.Int).Abs(n).Cmp(most) > 0 {
		o.overflow = true
		return "too large"
	}
	whole, rest := new(big.Int).QuoRem(new(big.Int).Abs(n), big.NewInt(1_000_000_000_000_000_000), new(big.Int))
	text := fmt.Sprintf("%d.%018d", whole, rest)
	if n.Sign() < 0 {
		text = "-" + text
	}
	return dec(text).String()
}

func (o *oracle) moversOf(currency, direction string) []string {
	sign := map[string]int{"grew": 1, "fell": -1}[direction]
	steps := map[data.CustomerID]*step{}
	for _, r := range o.daily {
		s := o.stepOf(func(x data.UsageDaily) bool { return x.CustomerID == r.CustomerID && x.Currency == currency })
		if s != nil && s.by.Sign() == sign {
			steps[r.CustomerID] = s
		}
	}
	name := func(id data.CustomerID) string {
		if n, found := o.newestNames[id]; found {
			return n
		}
		return string(id)
	}
	order := slices.SortedFunc(maps.Keys(steps), func(a, b data.CustomerID) int {
		return cmp.Or(steps[b].by.CmpAbs(steps[a].by), cmp.Compare(name(a), name(b)), cmp.Compare(a, b))
	})
	var out []string
	for i, id := range order[:min(5, len(order))] {
		line := fmt.Sprintf("%q|%q|%d|%q|%s|%s|%s", direction, currency, i+1, id, steps[id].now, steps[id].before, o.bigText(steps[id].by))
		most, of := "null|null|null|null", new(big.Int)
		for _, category := range []string{"", "SQL", "Storage"} {
			s := o.stepOf(func(x data.UsageDaily) bool {
				return x.CustomerID == id && x.Currency == currency && x.Category == category
			})
			if s != nil && s.by.Sign() == sign && s.by.CmpAbs(of) > 0 {
				of, most = s.by, fmt.Sprintf("%q|%s|%s|%s", category, s.now, s.before, o.bigText(s.by))
			}
		}
		out = append(out, line+"|"+most)
	}
	return out
}

func (o *oracle) categoriesOnOneSide(change string, side int) []string {
	used := func(side int, customer *data.CustomerID, category string) bool {
		return len(o.rows(side, func(r data.UsageDaily) bool {
			return r.UsageRows > 0 && r.Category == category && (customer == nil || r.CustomerID == *customer)
		})) > 0
	}
	who := []*data.CustomerID{nil}
	ids := map[data.CustomerID]bool{}
	for _, r := range o.daily {
		ids[r.CustomerID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		who = append(who, new(id))
	}
	var out []string
	for _, customer := range who {
		for _, category := range []string{"", "SQL", "Storage"} {
			if used(side, customer, category) && !used(1-side, customer, category) {
				out = append(out, fmt.Sprintf("%q|%s|%q", change, textOf(customer), category))
			}
		}
	}
	return out
}
