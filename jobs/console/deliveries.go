package console

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"

	"tidemark/data"
	"tidemark/jobs/ledger"
)

type deliveriesPage struct {
	meta
	Run       string
	Recipient string
	States    []choice
	Rows      []deliveryRow
	Next      string
}

type deliveryRow struct {
	ID, Run, Recipient, Role, Period, Subject, Reply string
	State                                            Badge
	Updated                                          Moment
}

func (c *Console) deliveries(r *http.Request) (page, error) {
	q := ledger.Query{Run: r.FormValue("run"), State: ledger.DeliveryState(r.FormValue("state")), Recipient: r.FormValue("recipient"), Limit: pageRows + 1}
	if q.State != "" && !slices.Contains(ledger.DeliveryStates(), q.State) {
		return nil, errQuestion
	}
	all, err := c.o.Ledger.DeliveryPage(r.Context(), q, r.FormValue("after"))
	if err != nil {
		return nil, err
	}
	p := deliveriesPage{meta: meta{"deliveries", "Deliveries", "deliveries"}, Run: note(q.Run), Recipient: note(q.Recipient), States: choices(ledger.DeliveryStates(), q.State)}
	if len(all) > pageRows {
		all = all[:pageRows]
		p.Next = next(r, all[pageRows-1].ID)
	}
	for _, d := range all {
		p.Rows = append(p.Rows, c.deliveryRow(d))
	}
	return p, nil
}

func (c *Console) deliveryRow(d ledger.Delivery) deliveryRow {
	return deliveryRow{ID: d.ID, Run: d.Run, Recipient: note(d.Recipient), Role: note(d.Role), Period: note(d.Period), Subject: note(d.Subject), Reply: note(d.Reply),
		State: deliveryBadge(d.State), Updated: c.moment(d.Updated)}
}

type deliveryPage struct {
	meta
	Delivery     deliveryRow
	Kind         string
	Reply        string
	Edition      int
	Attempt      int
	Due          Moment // only while it is pending
	Deadline     Moment
	Created      Moment
	SHA256       string
	Day, Report  string // where its report is
	Decide       []string
	MayHaveIt    bool // nobody knows whether it arrived
	StillPending bool
}

func (c *Console) delivery(r *http.Request) (page, error) {
	d, err := c.o.Ledger.Delivery(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	p := deliveryPage{meta: meta{"delivery", "Delivery to " + note(d.Recipient), "deliveries"}, Delivery: c.deliveryRow(d), Kind: note(d.Kind), Reply: clean(d.Reply, longLength),
		Edition: d.Edition, Attempt: d.Attempt, Due: c.moment(d.Due), Deadline: c.moment(d.Deadline), Created: c.moment(d.Created), SHA256: note(d.SHA256),
		Day: data.DayOf(d.Created.UTC()).String(), Report: d.Report, MayHaveIt: d.State == ledger.Unknown, StillPending: d.State == ledger.Pending}
	if d.State == ledger.Unknown {
		p.Decide = append(p.Decide, "tidemark deliveries mark-sent "+d.ID)
	}
	if d.State == ledger.Unknown || d.State == ledger.Refused || d.State == ledger.Bounced {
		p.Decide = append(p.Decide, "tidemark deliveries resend "+d.ID+" --why REASON", "tidemark deliveries give-up "+d.ID+" --why REASON")
	}
	return p, nil
}

// mail gives the sealed mail away as a file, never as a page.
func (c *Console) mail(w http.ResponseWriter, r *http.Request) {
	d, err := c.o.Ledger.Delivery(r.Context(), r.PathValue("id"))
	var eml []byte
	if err == nil {
		eml, err = c.o.Ledger.EML(r.Context(), d.SHA256)
	}
	if err != nil {
		p, status := c.failed(r, err)
		c.write(w, r, status, p)
		return
	}
	name := "mail"
	if b, err := hex.DecodeString(d.SHA256); err == nil && len(b) == 32 { // nothing else may stand in a header
		name = d.SHA256[:16]
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Content-Type", "message/rfc822")
	h.Set("Content-Disposition", `attachment; filename="`+name+`.eml"`)
	h.Set("Content-Length", strconv.Itoa(len(eml)))
	_, _ = w.Write(eml) // the reader may have gone
}
