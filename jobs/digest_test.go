package jobs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/reports"
)

// estate is a random partner: every customer is owned by anna or by bram.
type estate struct {
	customers []estateCustomer
}

type estateCustomer struct {
	id, name, owner string
	factor          int64 // its costs are multiplied by it
	subs            []estateSub
}

type estateSub struct {
	id, name string
	status   data.Status
	until    int // days with usage from the first one on
	cents    int64
	currency string
}

const estateDays = 42

func drawEstate(t *rapid.T) estate {
	// One customer of bram is used to the last day: it moves the watermark there.
	e := estate{[]estateCustomer{{id: "zanchorq", name: "Zanchornameq", owner: "bram@partner.example", factor: 1,
		subs: []estateSub{{id: "zanchorsubq", name: "Zanchorplanq", status: data.StatusActive, until: estateDays, cents: 100, currency: "EUR"}}}}}
	for i := range rapid.IntRange(2, 5).Draw(t, "customers") {
		c := estateCustomer{id: fmt.Sprintf("zid%dq", i), name: fmt.Sprintf("Zname%dq", i), factor: 1,
			owner: rapid.SampledFrom([]string{"anna", "bram"}).Draw(t, "owner") + "@partner.example"}
		for j := range rapid.IntRange(1, 3).Draw(t, "subscriptions") {
			c.subs = append(c.subs, estateSub{id: fmt.Sprintf("zsub%d%dq", i, j), name: fmt.Sprintf("Zplan%d%dq", i, j),
				status: rapid.SampledFrom([]data.Status{data.StatusActive, data.StatusActive, data.StatusSuspended}).Draw(t, "status"),
				until:  rapid.SampledFrom([]int{0, 20, 30, 34, estateDays}).Draw(t, "until"),
				cents:  rapid.Int64Range(1, 99999).Draw(t, "cents"), currency: rapid.SampledFrom([]string{"EUR", "USD"}).Draw(t, "currency")})
		}
		e.customers = append(e.customers, c)
	}
	return e
}

// source is the estate as a source.
func (e estate) source() *fakeSource {
	s := &fakeSource{kind: "tables"}
	for _, c := range e.customers {
		s.customers = append(s.customers, data.Customer{CustomerID: data.CustomerID(c.id), Name: new(c.name)})
		for _, sub := range c.subs {
			s.subscriptions = append(s.subscriptions, data.Subscription{SubscriptionID: data.SubscriptionID(sub.id), CustomerID: data.CustomerID(c.id),
				Name: new(sub.name), Status: sub.status, Created: new(day0 - 400)})
			for d := range sub.until {
				u := used(day0+data.Day(d), c.id, sub.id)
				u.Currency = sub.currency
				cost, _ := data.DecimalFromInt(sub.cents*c.factor).MulRatio(1, 100)
				u.Cost = &cost
				s.usage = append(s.usage, u)
			}
		}
	}
	return s
}

// digests archives the estate and builds a role's mails of the last week.
func (e estate) digests(t *testing.T, role reports.Role) map[string]Built {
	t.Helper()
	return e.built(t, e.archived(t), role)
}

// window is every day of an estate.
func (e estate) window() data.Period { return data.Period{From: day0, To: day0 + estateDays - 1} }

func (e estate) archived(t *testing.T) *lab {
	t.Helper()
	l, s, window := newLab(t), e.source(), e.window()
	if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: window.To, Days: &window}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (e estate) built(t *testing.T, l *lab, role reports.Role) map[string]Built {
	t.Helper()
	window := e.window()
	spec, err := data.ParsePeriod(data.Period{From: window.To - 6, To: window.To}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(context.Background(), l.view(), Query{Period: spec, Ref: window.To, Trend: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	d := e.mails(t, p, role)
	built := map[string]Built{}
	for b, err := range d.Build(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		built[b.Recipient.Address] = b
	}
	return built
}

// mails is how the estate's mails are built.
func (e estate) mails(t *testing.T, p *reports.Portfolio, role reports.Role) Digests {
	t.Helper()
	return Digests{Portfolio: p, Role: role, Ownership: e.ownership(t), Partner: reports.Partner{Name: "Polder Cloud", Locale: "nl"},
		Recipients: []reports.Recipient{{Address: "anna@partner.example", Name: "Anna", Role: reports.SalesAgent}, {Address: "umut@partner.example", Role: reports.UserAdmin}},
		From:       netmail.Address{Name: "Polder Cloud", Address: "usage@partner.example"}, Date: time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)}
}

func (e estate) ownership(t *testing.T) *reports.Ownership {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"customer_id", "address"}}
	for _, c := range e.customers {
		rows = append(rows, []string{c.id, c.owner})
	}
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	o, err := reports.ReadOwnership("owners.csv", &b)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// decoded is a sealed mail as a reader's program sees it: every header and
// every part, decoded.
func decoded(t *testing.T, eml []byte) string {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(eml))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for name, values := range m.Header {
		for _, v := range values {
			text, err := new(mime.WordDecoder).DecodeHeader(v)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s: %s\n", name, text)
		}
	}
	decodePart(t, &out, m.Header.Get("Content-Type"), m.Body)
	return out.String()
}

func decodePart(t *testing.T, out *strings.Builder, contentType string, body io.Reader) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
		return
	}
	for parts := multipart.NewReader(body, params["boundary"]); ; {
		part, err := parts.NextPart() // decodes quoted-printable
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(out, "%v\n", part.Header)
		decodePart(t, out, part.Header.Get("Content-Type"), base64Reader(part))
	}
}

// withoutProof blanks what names the archive as a whole: report id and seal.
func withoutProof(b Built) string {
	return regexp.MustCompile(`[0-9a-f]{16}|[a-z2-7]{16,}`).ReplaceAllString(b.Rendered.HTML+b.Rendered.Text+string(b.Rendered.CSV)+string(b.Rendered.Page)+b.Digest.Subject, "*")
}

// forEstates runs a property on a dozen random estates: each is archived,
// loaded, built and sealed, which is too much for a hundred.
func forEstates(t *testing.T, property func(*testing.T, estate)) {
	t.Helper()
	for seed := range 12 {
		t.Run(fmt.Sprint("estate ", seed), func(t *testing.T) { property(t, rapid.Custom(drawEstate).Example(seed)) })
	}
}

func TestDigests_AnAgentsMailHoldsNothingOfOthers(t *testing.T) {
	forEstates(t, func(rt *testing.T, e estate) {
		anna, found := e.digests(t, reports.SalesAgent)["anna@partner.example"]
		if !found {
			rt.Fatal("anna got no answer")
		}
		changed := estate{}
		own := false
		for _, c := range e.customers {
			if c.owner == "anna@partner.example" {
				own = true
				changed.customers = append(changed.customers, c)
				continue
			}
			secret := []string{c.id, c.name}
			for _, s := range c.subs {
				secret = append(secret, s.id, s.name)
			}
			all := string(anna.Rendered.Page)
			if anna.EML != nil {
				all += decoded(t, anna.EML)
			}
			for _, s := range secret {
				if strings.Contains(all, s) {
					rt.Fatalf("the mail of anna holds %s", s)
				}
			}
			// The foreign customer gets another name. Its costs stay: a score is a place in
			// the whole portfolio, and so depends on everybody's.
			c.name = "Zrenamedq"
			changed.customers = append(changed.customers, c)
		}
		if own == (anna.Skipped != "") {
			rt.Fatalf("owns customers: %v, skipped: %q", own, anna.Skipped)
		}
		again := changed.digests(t, reports.SalesAgent)["anna@partner.example"]
		if diff := cmp.Diff(withoutProof(again), withoutProof(anna)); diff != "" {
			rt.Fatalf("renaming foreign customers changes the mail:\n%s", diff)
		}
	})
}

func TestDigests_CostsChangeNothingForTheUserAdministrator(t *testing.T) {
	forEstates(t, func(rt *testing.T, e estate) {
		before := e.digests(t, reports.UserAdmin)["umut@partner.example"]
		// A score sees which cost is larger, but not how large it is.
		for i := range e.customers {
			e.customers[i].factor *= 7
		}
		after := e.digests(t, reports.UserAdmin)["umut@partner.example"]
		if diff := cmp.Diff(withoutProof(after), withoutProof(before)); diff != "" {
			rt.Fatalf("multiplied costs change the mail:\n%s", diff)
		}
	})
}

func TestDigests_WithoutOwnershipAreHeld(t *testing.T) {
	d := Digests{Role: reports.SalesAgent, Recipients: []reports.Recipient{{Address: "a@partner.example", Role: reports.SalesAgent}}}
	for _, err := range d.Build(context.Background()) {
		if !errors.Is(err, ErrHeld) {
			t.Errorf("error %v, want held", err)
		}
	}
	d.Role = reports.AdminAgent
	for _, err := range d.Build(context.Background()) {
		if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "no recipient") {
			t.Errorf("error %v, want held for want of a recipient", err)
		}
	}
}

func TestDigests_TheSameReportIsTheSameMail(t *testing.T) {
	e := estate{[]estateCustomer{{id: "c", name: "Contoso", owner: "anna@partner.example", factor: 1,
		subs: []estateSub{{id: "s", name: "Main", status: data.StatusActive, until: 34, cents: 250, currency: "EUR"},
			{id: "t", name: "Test", status: data.StatusActive, until: estateDays, cents: 1, currency: "EUR"}}}}}
	l := e.archived(t)
	first, second := e.built(t, l, reports.SalesAgent)["anna@partner.example"], e.built(t, l, reports.SalesAgent)["anna@partner.example"]
	if !bytes.Equal(first.EML, second.EML) || len(first.EML) == 0 {
		t.Errorf("two builds of one report differ, or are empty (%d and %d bytes)", len(first.EML), len(second.EML))
	}
	text := decoded(t, first.EML)
	for _, want := range []string{"Auto-Submitted: auto-generated", "To: \"Anna\" <anna@partner.example>", "Contoso", "bellen"} {
		if !strings.Contains(text, want) {
			t.Errorf("the mail lacks %q", want)
		}
	}
}

func TestFileName_IsSafeAndAnotherForEveryAddress(t *testing.T) {
	seen := map[string]string{}
	for _, address := range []string{"anna@partner.example", "bob+x@partner.example", "bob-x@partner.example", "bob@x-partner.example",
		"../../etc/passwd@x", "a/b\\c\x00\r\n@d.example", ".a@b.example", "a@b.example"} {
		name := fileName(reports.SalesAgent, address)
		if other, found := seen[name]; found {
			t.Errorf("%q and %q share the name %s", address, other, name)
		}
		seen[name] = address
		if !regexp.MustCompile(`^sales_agent-[a-z0-9.-]+$`).MatchString(name) || strings.Contains(name, "..") {
			t.Errorf("fileName(%q) = %q", address, name)
		}
	}
	if got := fileName(reports.SalesAgent, "Anna@Partner.example"); got != "sales_agent-anna-partner.example" {
		t.Errorf("a plain address gives %q", got)
	}
}

// base64Reader decodes a part that is sent in base64; the multipart reader has
// decoded quoted-printable already.
func base64Reader(p *multipart.Part) io.Reader {
	if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "base64") {
		return base64.NewDecoder(base64.StdEncoding, p)
	}
	return p
}

func TestInOrder_KeepsTheOrderAndLeavesNothingRunning(t *testing.T) {
	items := make([]int, 50)
	for i := range items {
		items[i] = i
	}
	var running, most atomic.Int64
	do := func(i int) int {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		for range i % 7 * 1000 {
			runtime.Gosched()
		}
		return i * i
	}
	next := 0
	for i, square := range inOrder(items, do) {
		if i != next || square != i*i {
			t.Fatalf("item %d gives %d, want item %d", i, square, next)
		}
		if next++; next == 40 {
			break
		}
	}
	if running.Load() != 0 {
		t.Errorf("%d go on after the end", running.Load())
	}
	if n := int64(runtime.GOMAXPROCS(0)); most.Load() > n {
		t.Errorf("%d at a time, want at most %d", most.Load(), n)
	}
	for range inOrder(nil, do) {
		t.Error("nothing yields something")
	}
}
