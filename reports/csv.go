package reports

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tidemark/data"
	"tidemark/transform/churn"
)

// formulaStarts are the characters at which spreadsheets read a formula, in
// their plain and full-width forms.
const formulaStarts = "=+-@\t\r\n＝＋－＠"

// guard is put before a text that would be read as a formula.
const guard = "'"

// Guarded returns the text so that no spreadsheet reads it as a formula. A text
// that looks guarded is guarded once more, so that withoutGuard gives each back.
func Guarded(s string) string {
	if s != "" && (strings.ContainsAny(firstRune(s), formulaStarts) || withoutGuard(s) != s) {
		return guard + s
	}
	return s
}

func firstRune(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}

// withoutGuard undoes Guarded.
func withoutGuard(s string) string {
	if rest, found := strings.CutPrefix(s, guard); found && Guarded(rest) != rest {
		return rest
	}
	return s
}

// byteOrderMark tells spreadsheets that a CSV file is UTF-8. Without it names
// outside ASCII are garbled on a double click.
const byteOrderMark = "\ufeff"

// CSV returns the attachment as a file that opens in the spreadsheets of its
// language: UTF-8 with byte order mark, the language's separator and decimal
// point, lines ended by CR LF.
func (a Attachment) CSV() []byte {
	var out bytes.Buffer
	out.WriteString(byteOrderMark)
	w := csv.NewWriter(&out)
	w.Comma, w.UseCRLF = a.Comma, true
	write := func(fields []string) {
		_ = w.Write(fields) // a buffer takes everything, and the comma comes from a locale
	}
	write(a.Head)
	for _, row := range a.Rows {
		fields := make([]string, len(row))
		for i, f := range row {
			fields[i] = Guarded(f.Text)
			if f.Number {
				fields[i] = strings.Replace(f.Text, ".", a.Point, 1)
			}
		}
		write(fields)
	}
	w.Flush()
	return out.Bytes()
}

// attachment has one row for each subscription that is scored, has a state
// instead of a score, or is without usage; one for each currency of those that
// cost in several. Customers that the mail counts have one in any case.
func (b *builder) attachment() Attachment {
	a := Attachment{Comma: b.loc.Separator(), Point: b.loc.Point()}
	columns := []string{"customer", "customer_id", "subscription", "subscription_id", "state", "risk", "score", "previous_score",
		"reasons", "status", "created", "last_usage", "days_idle", "contact", "phone", "email", "new_customer"}
	if b.bg.Money {
		columns = append(columns, "currency", "monthly_cost", "expected_loss")
	}
	if b.in.Role == AdminAgent && b.in.Ownership != nil {
		columns = append(columns, "agent")
	}
	for _, c := range columns {
		a.Head = append(a.Head, b.t("csv."+c))
	}
	silent := make(map[data.CustomerID]bool) // named or counted in the mail, and without a subscription here
	for id := range b.bg.New {
		silent[id] = true
	}
	for _, id := range b.unassigned() {
		silent[id] = true
	}
	unused := make(map[data.SubscriptionID]WithoutUsage, len(b.doc.WithoutUsage))
	for _, w := range b.doc.WithoutUsage {
		unused[w.SubscriptionID] = w
	}
	for _, r := range b.doc.AtRisk {
		w, found := unused[r.SubscriptionID]
		if !found && r.IdleDays != nil {
			w.DaysIdle, w.LastUsage = r.IdleDays, new(r.Origin-data.Day(*r.IdleDays))
		}
		delete(unused, r.SubscriptionID)
		a.Rows = append(a.Rows, b.fields(r, w)...)
		delete(silent, r.CustomerID)
	}
	for _, w := range b.doc.WithoutUsage {
		if _, left := unused[w.SubscriptionID]; left {
			a.Rows = append(a.Rows, b.fields(AtRisk{SubscriptionID: w.SubscriptionID, CustomerID: w.CustomerID, Name: w.Name}, w)...)
			delete(silent, w.CustomerID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(silent)) {
		a.Rows = append(a.Rows, b.fields(AtRisk{CustomerID: id}, WithoutUsage{})...)
	}
	return a
}

func (b *builder) fields(r AtRisk, w WithoutUsage) [][]Field {
	sub, customer := b.bg.Subscriptions[r.SubscriptionID], b.bg.Customers[r.CustomerID]
	text := func(s string) Field { return Field{Text: clean(s)} }
	var reasons []string
	for _, reason := range r.Reasons {
		reasons = append(reasons, reasonText(b.loc, reason.Finding))
	}
	state, risk := "", ""
	switch {
	case r.State == churn.StateScored:
		risk = b.band(bandOf(r))
	case r.State != "":
		state = b.t("state." + string(r.State))
	}
	row := []Field{text(customer.Name), text(string(r.CustomerID)), text(string(r.Name)), text(string(r.SubscriptionID)),
		text(state), text(risk), score(r.Score), score(b.before[r.SubscriptionID].Score),
		text(strings.Join(reasons, " · ")), text(string(sub.Status)), dayField(sub.Created), dayField(w.LastUsage), daysField(w.DaysIdle),
		text(customer.Contact), text(customer.Phone), text(customer.Email), {}}
	if since, isNew := b.bg.New[r.CustomerID]; isNew {
		row[len(row)-1] = dayField(&since)
	}
	var last []Field
	if b.in.Role == AdminAgent && b.in.Ownership != nil {
		last = []Field{text(b.agentsOf(r.CustomerID))}
	}
	if !b.bg.Money {
		return [][]Field{append(row, last...)}
	}
	if len(r.MonthlyCost) == 0 {
		return [][]Field{slices.Concat(row, []Field{{}, {}, {}}, last)}
	}
	var rows [][]Field
	for i, m := range r.MonthlyCost {
		loss := Field{}
		if i < len(r.ExpectedLoss) {
			loss = Field{Text: r.ExpectedLoss[i].Amount.String(), Number: true}
		}
		rows = append(rows, slices.Concat(row, []Field{text(m.Currency), {Text: m.Amount.String(), Number: true}, loss}, last))
	}
	return rows
}

// agentsOf are the addresses of the sales agents who see a customer.
func (b *builder) agentsOf(id data.CustomerID) string {
	var owners []string
	for _, owner := range b.in.Ownership.Owners(id) {
		if slices.ContainsFunc(b.in.Agents, func(a Recipient) bool { return key(a.Address) == owner }) {
			owners = append(owners, owner)
		}
	}
	return cmp.Or(strings.Join(owners, " · "), b.t("csv.agent.none"))
}

func score(s *float64) Field {
	if s == nil {
		return Field{}
	}
	return Field{Text: strconv.FormatFloat(*s, 'f', 4, 64), Number: true}
}

func dayField(d *data.Day) Field {
	if d == nil {
		return Field{}
	}
	return Field{Text: d.String()}
}

func daysField(n *int) Field {
	if n == nil {
		return Field{}
	}
	return Field{Text: strconv.Itoa(*n), Number: true}
}
