package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/templates"
	"tidemark/transform"
)

// documentLanguage is the language of a new document's reasons.
const documentLanguage = "en"

// Document computes the numbers for the customers in scope, with money or
// without. What is out of scope is cut off before anything is computed, and so
// are the money columns. The portfolio stays as it is.
func (p *Portfolio) Document(mem memory.Allocator, scope Scope, money bool) (*Document, error) {
	in, free, err := p.cut(mem, scope, money)
	if err != nil {
		return nil, fmt.Errorf("cut %s down to a scope: %w", p.Inputs.Period, err)
	}
	defer free()
	tables, err := transform.Metrics(mem, in)
	if err != nil {
		return nil, err
	}
	defer tables.Release()

	d, err := p.assemble(in, tables, scope, money)
	if err != nil {
		return nil, err
	}
	return d, d.addDays(mem, in)
}

// assemble makes a document of metrics that were computed from scoped inputs,
// and of the scores of the same scope.
func (p *Portfolio) assemble(in transform.Inputs, tables *transform.Tables, scope Scope, money bool) (*Document, error) {
	d := &Document{Background: Background{Money: money, FirstSnapshot: in.FirstSnapshot, Seal: p.Seal}}
	d.Coverage = Coverage{Period: tables.Period, Previous: tables.Previous, Watermark: tables.Watermark,
		KnownDays: tables.KnownDays, PreviousKnownDays: tables.PreviousKnownDays, Complete: tables.Complete,
		KnownAt: p.KnownAt, Versions: p.Versions}
	if err := d.fill(in, tables); err != nil {
		return nil, err
	}
	if err := d.addRisk(p, scope); err != nil {
		return nil, err
	}
	d.Background.Freshness = p.Freshness.within(scope)
	return d, d.SetLanguage(documentLanguage)
}

func (d *Document) fill(in transform.Inputs, tables *transform.Tables) error {
	for _, step := range []func() error{
		func() error { return d.addInventory(in) },
		func() error { return d.addCounts(tables) },
		func() error { return d.addCosts(tables) },
		func() error { return d.addTop(tables) },
		func() error { return d.addWithoutUsage(tables) },
		func() error { return d.addChurn(tables) },
		func() error { return d.addNew(tables) },
		func() error { return d.addTrend(tables) },
		func() error { return d.addDetails(in, tables) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// within leaves only the failed customers of a scope.
func (f Freshness) within(scope Scope) Freshness {
	var failed []FailedCustomer
	for _, c := range f.Failed {
		if scope.Contains(c.ID) {
			failed = append(failed, c)
		}
	}
	f.Failed = failed
	f.Unreachable = slices.DeleteFunc(slices.Clone(f.Unreachable), func(id data.CustomerID) bool { return !scope.Contains(id) })
	if !scope.all() {
		f.Quarantined = 0 // of the portfolio as a whole
	}
	return f
}

// addInventory notes what the snapshots say about customers and subscriptions,
// the newest snapshot last, and how subscriptions stood at the end of the period.
func (d *Document) addInventory(in transform.Inputs) error {
	customers := make(map[data.CustomerID]Customer)
	subscriptions := make(map[data.SubscriptionID]Subscription)
	for _, s := range in.Inventory {
		r := reader{table: "customers", rec: s.Customers}
		id, name, contact := required(r.text("customer_id")), required(r.text("name")), required(r.text("contact"))
		phone, email := required(r.text("phone")), required(r.text("email"))
		for i := range r.rows() {
			customers[data.CustomerID(id(i))] = Customer{Name: name(i), Contact: contact(i), Phone: phone(i), Email: email(i)}
		}
		q := reader{table: "subscriptions", rec: s.Subscriptions}
		sub, owner, label := required(q.text("subscription_id")), required(q.text("customer_id")), required(q.text("name"))
		status, created := required(q.text("status")), q.day("created")
		for i := range q.rows() {
			subscriptions[data.SubscriptionID(sub(i))] = Subscription{CustomerID: data.CustomerID(owner(i)), Name: label(i),
				Status: data.Status(status(i)), Created: created(i)}
		}
		if r.err != nil || q.err != nil {
			return cmp.Or(r.err, q.err)
		}
	}
	states, err := transform.States(in.Inventory, in.Period.To)
	if err != nil {
		return err
	}
	for id, state := range states {
		s := subscriptions[id]
		s.Status, s.Endings = state.Status, state.Endings
		subscriptions[id] = s
	}
	used := in.Daily
	if in.Others != nil {
		used = append(used[:len(used):len(used)], in.Others)
	}
	for _, rec := range used {
		r := reader{table: "usage_daily", rec: rec}
		id := required(r.text("customer_id"))
		for i := range r.rows() {
			if c := data.CustomerID(id(i)); !hasKey(customers, c) {
				customers[c] = Customer{} // used, and in no inventory
			}
		}
		if r.err != nil {
			return r.err
		}
	}
	for _, s := range subscriptions {
		if _, found := customers[s.CustomerID]; !found {
			customers[s.CustomerID] = Customer{}
		}
	}
	d.Background.Customers, d.Background.Subscriptions = customers, subscriptions
	return nil
}

func hasKey[K comparable, V any](m map[K]V, key K) bool {
	_, found := m[key]
	return found
}

func (d *Document) addCounts(tables *transform.Tables) error {
	places := map[string]*Count{
		"subscriptions_sold":          &d.SubscriptionsSold,
		"customers_with_usage":        &d.CustomersWithUsage,
		"customers_without_usage":     &d.CustomersWithoutUsage,
		"new_customers":               &d.NewCustomers,
		"subscriptions_renewed":       &d.SubscriptionsRenewed,
		"subscriptions_without_usage": &d.Counts.WithoutUsage,
		"active_at_end":               &d.Counts.ActiveAtEnd,
		"deprovisioned":               &d.Counts.Deprovisioned,
	}
	r := reader{table: "summary", rec: tables.Summary}
	name, value, previous, reason := required(r.text("key")), r.int64("value"), r.int64("previous"), r.text("reason")
	for i := range r.rows() {
		if c, found := places[name(i)]; found {
			*c = newCount(value(i), previous(i), reason(i))
		}
	}
	return r.err
}

func newCount(value, previous *int64, reason *string) Count {
	c := Count{Value: value, Previous: previous, Reason: reason}
	if value != nil && previous != nil && *previous != 0 {
		c.Change = new(round4(float64(*value-*previous) / float64(*previous)))
	}
	return c
}

// round4 rounds to the four decimals that the JSON has.
func round4(f float64) float64 { return math.Round(f*1e4) / 1e4 }

func (d *Document) addCosts(tables *transform.Tables) error {
	if !d.Background.Money {
		return nil
	}
	c := &Costs{Cost: []Cost{}, ByCategory: []CategoryCost{}, ByDay: []DayCost{}}
	d.Costs = c
	r := reader{table: "cost", rec: tables.Cost}
	currency, value, previous := required(r.text("currency")), r.decimal("value"), r.decimal("previous")
	for i := range r.rows() {
		c.Cost = append(c.Cost, newCost(currency(i), value(i), previous(i)))
	}
	q := reader{table: "cost by category", rec: tables.CostByCategory}
	category, currency := required(q.text("category")), required(q.text("currency"))
	value, previous = q.decimal("value"), q.decimal("previous")
	for i := range q.rows() {
		c.ByCategory = append(c.ByCategory, CategoryCost{category(i), newCost(currency(i), value(i), previous(i))})
	}
	p := reader{table: "cost by customer", rec: tables.CostByCustomer}
	customer, currency := required(p.text("customer_id")), required(p.text("currency"))
	value, previous = p.decimal("value"), p.decimal("previous")
	for i := range p.rows() {
		d.Background.CustomerCost = append(d.Background.CustomerCost, CustomerCost{data.CustomerID(customer(i)), newCost(currency(i), value(i), previous(i))})
	}
	b := reader{table: "cost by day", rec: tables.CostByDay}
	date, currency, amount := required(b.day("date")), required(b.text("currency")), required(b.decimal("value"))
	previous = b.decimal("previous")
	for i := range b.rows() {
		c.ByDay = append(c.ByDay, DayCost{date(i), currency(i), amount(i), previous(i)})
	}
	return cmp.Or(r.err, q.err, p.err, b.err)
}

func newCost(currency string, value, previous *data.Decimal) Cost {
	c := Cost{Currency: currency, Value: value, Previous: previous}
	if value != nil && previous != nil {
		if change := value.Change(*previous); change != nil {
			c.Change = new(round4(*change))
		}
	}
	return c
}

func (d *Document) addTop(tables *transform.Tables) error {
	d.TopCustomers = []TopCustomer{}
	r := reader{table: "top customers", rec: tables.TopCustomers}
	category, rank, id := r.text("category"), required(r.int32("rank")), required(r.text("customer_id"))
	currency, cost, previous := r.text("currency"), r.decimal("cost"), r.decimal("previous")
	quantity, unit := r.decimal("quantity"), r.text("unit")
	for i := range r.rows() {
		customer := data.CustomerID(id(i))
		top := TopCustomer{Category: category(i), Rank: rank(i), CustomerID: customer,
			Name: Name(d.Background.Customers[customer].Name), Previous: previous(i), Quantity: quantity(i), Unit: unit(i)}
		if d.Background.Money {
			top.TopCost = &TopCost{Currency: currency(i), Cost: cost(i)}
		}
		d.TopCustomers = append(d.TopCustomers, top)
	}
	return r.err
}

func (d *Document) addWithoutUsage(tables *transform.Tables) error {
	d.WithoutUsage = []WithoutUsage{}
	r := reader{table: "subscriptions without usage", rec: tables.WithoutUsage}
	id, customer, name := required(r.text("subscription_id")), required(r.text("customer_id")), required(r.text("name"))
	status, created, last, idle := required(r.text("status")), r.day("created"), r.day("last_usage"), r.int32("days_idle")
	for i := range r.rows() {
		d.WithoutUsage = append(d.WithoutUsage, WithoutUsage{SubscriptionID: data.SubscriptionID(id(i)),
			CustomerID: data.CustomerID(customer(i)), Name: Name(name(i)), Status: data.Status(status(i)),
			Created: created(i), LastUsage: last(i), DaysIdle: idle(i)})
	}
	return r.err
}

func (d *Document) addChurn(tables *transform.Tables) error {
	d.ChurnByDate = []ChurnDay{}
	r := reader{table: "churn by date", rec: tables.ChurnByDate}
	date, active, ended := required(r.day("date")), required(r.int64("active")), required(r.int64("deprovisioned"))
	for i := range r.rows() {
		d.ChurnByDate = append(d.ChurnByDate, ChurnDay{date(i), active(i), ended(i)})
	}
	return r.err
}

func (d *Document) addNew(tables *transform.Tables) error {
	d.Background.New = make(map[data.CustomerID]data.Day)
	r := reader{table: "new customers", rec: tables.NewCustomers}
	id, since := required(r.text("customer_id")), required(r.day("since"))
	for i := range r.rows() {
		d.Background.New[data.CustomerID(id(i))] = since(i)
	}
	return r.err
}

func (d *Document) addTrend(tables *transform.Tables) error {
	r := reader{table: "trend", rec: tables.Trend}
	from, to, known := required(r.day("period_from")), required(r.day("period_to")), required(r.int64("known_days"))
	customers, subscriptions := r.int64("customers_with_usage"), r.int64("subscriptions_with_usage")
	at := make(map[data.Day]int)
	for i := range r.rows() {
		at[from(i)] = i
		d.Background.Trend = append(d.Background.Trend, TrendPeriod{Period: data.Period{From: from(i), To: to(i)}, Known: int(known(i)),
			Customers: customers(i), Subscriptions: subscriptions(i)})
	}
	q := reader{table: "cost of the trend", rec: tables.TrendCost}
	from, category := required(q.day("period_from")), q.text("category")
	currency, value := required(q.text("currency")), required(q.decimal("value"))
	for i := range q.rows() {
		p := &d.Background.Trend[at[from(i)]]
		p.Cost = append(p.Cost, TrendCost{category(i), currency(i), value(i)})
	}
	return cmp.Or(r.err, q.err)
}

// pulseDays is how far back the days of a customer go.
const pulseDays = 56

// addDays adds the days of the customers to call: of their subscriptions at risk.
func (d *Document) addDays(mem memory.Allocator, in transform.Inputs) error {
	if in.Watermark == nil {
		return nil
	}
	subscriptions := make(map[data.SubscriptionID]bool)
	for _, a := range d.AtRisk {
		if risky(bandOf(a)) {
			subscriptions[a.SubscriptionID] = true
		}
	}
	if len(subscriptions) == 0 {
		return nil
	}
	span := data.Period{From: in.Until() - pulseDays + 1, To: in.Until()}
	d.Background.Known = in.Known(span)
	rec, err := transform.CustomerDays(mem, in, subscriptions, span)
	if err != nil {
		return err
	}
	defer rec.Release()
	d.Background.Days = make(map[data.CustomerID]CustomerDays)
	r := reader{table: "days of customers", rec: rec}
	id, date, services := required(r.text("customer_id")), required(r.day("date")), r.int64("services")
	currency, cost := r.text("currency"), r.decimal("cost")
	for i := range r.rows() {
		customer := data.CustomerID(id(i))
		days, found := d.Background.Days[customer]
		if !found {
			days = CustomerDays{Services: map[data.Day]int64{}, Cost: map[string]map[data.Day]data.Decimal{}}
			d.Background.Days[customer] = days
		}
		if n := services(i); n != nil {
			days.Services[date(i)] = *n
			continue
		}
		if days.Cost[*currency(i)] == nil {
			days.Cost[*currency(i)] = map[data.Day]data.Decimal{}
		}
		days.Cost[*currency(i)][date(i)] = *cost(i)
	}
	return r.err
}

// SetLanguage puts the texts of the reasons into a language.
func (d *Document) SetLanguage(language string) error {
	loc, err := templates.Load(language)
	if err != nil {
		return err
	}
	for i := range d.AtRisk {
		for j := range d.AtRisk[i].Reasons {
			r := &d.AtRisk[i].Reasons[j]
			r.Text = reasonText(loc, r.Finding)
		}
		for j := range d.AtRisk[i].Flags {
			f := &d.AtRisk[i].Flags[j]
			f.Text = flagText(loc, f.Finding)
		}
	}
	d.Background.Language = loc.Tag()
	return nil
}
