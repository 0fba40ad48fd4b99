package reports

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
	"tidemark/reports/chart"
	"tidemark/templates"
	"tidemark/transform/churn"
)

// BuildInput is what a digest is made of.
type BuildInput struct {
	Document  *Document
	Role      Role
	Recipient Recipient
	Partner   Partner

	Ownership *Ownership  // for the admin agent; nil: not configured
	Agents    []Recipient // the sales agents, for the admin agent
	Covers    []Cover     // for whom this person stands in
	Mailed    []Mailed    // for the global admin
	Outcome   *Outcome    // for the global admin: what became of earlier scores; nil: none is old enough
	PageBase  string      // address of the folder that the interactive pages are in; empty: no link
	Last      *LastMail   // what this person was sent before; nil: nothing that is known
	Answers   *Answers    // to earlier reports, and to this one; nil: none
	Still     *Still      // this person has the report already, and there is nothing newer; mostly nil
}

// LastMail is the last report of the role that a person was sent.
type LastMail struct {
	ReportID string
	Sent     data.Day // when it left
	Until    data.Day // last day of its period
	Risk     map[data.SubscriptionID]PreviousRisk
	Scope    map[data.CustomerID]bool       // the customers that it was about
	Bands    map[data.CustomerID]churn.Band // the highest of each customer with a score
	Counted  map[string]churn.Band          // the band from which each answer counted, by its id
}

// Cover says for whom somebody stands in, and how long.
type Cover struct {
	Name  string   `json:"name"`
	Until data.Day `json:"until"`
}

// Still says that usage stands still: a report of the same days was sent before.
type Still struct {
	Sent data.Day `json:"sent"` // when
	On   data.Day `json:"on"`   // the day on which there is nothing newer
}

// Partner is who sends the reports.
type Partner struct {
	Name   string `json:"name"`   // e.g. "Polder Cloud"
	Accent string `json:"accent"` // "#0b6e4f"; anything else: the default
	Locale string `json:"locale"` // e.g. "nl"; empty: "en"
	Logo   *Logo  `json:"logo,omitempty"`
}

// Mailed counts what one role was sent.
type Mailed struct {
	Role    Role `json:"role"`
	Sent    int  `json:"sent"`
	Skipped int  `json:"skipped"` // e.g. an agent without customers
}

// Outcome is what became of subscriptions that earlier reports stated a score of.
type Outcome struct {
	Origin      data.Day `json:"origin"`       // that the scores were of
	HorizonDays int      `json:"horizon_days"` // in which something could become of them
	Scored      int      `json:"scored"`
	Lost        int      `json:"lost"`    // of them: ended, or not used any more
	Flagged     int      `json:"flagged"` // of them: of high or medium risk
	FlaggedLost int      `json:"flagged_lost"`
}

// builder puts one document into words.
type builder struct {
	in    BuildInput
	doc   *Document
	bg    *Background
	loc   *templates.Locale
	main  string         // the currency most is billed in
	risks []customerRisk // customers to call, the most pressing first

	// What risks are compared with: what this person was sent last, else the end of
	// the previous period.
	before map[data.SubscriptionID]PreviousRisk
	known  bool // there is something to compare with

	// What the reader's answers make of risks.
	list  []customerRisk             // those that are listed
	noted map[data.CustomerID]string // what is noted at them
	aside aside                      // the others
}

// Build puts a document into the words of its role and of the recipient's
// language. Equal input gives an equal digest.
func Build(in BuildInput) (Digest, error) {
	loc, err := templates.Load(cmp.Or(in.Recipient.Locale, in.Partner.Locale, documentLanguage))
	if err != nil {
		return Digest{}, fmt.Errorf("build report for %s: %w", in.Recipient.Address, err)
	}
	b := &builder{in: in, doc: in.Document, bg: &in.Document.Background, loc: loc, main: in.Document.mainCurrency()}
	b.before, b.known = b.bg.PreviousRisk, b.bg.PreviousScored
	if in.Last != nil {
		b.before, b.known = in.Last.Risk, true
	}
	if b.risks, err = rankCustomers(in.Document, b.before); err != nil {
		return Digest{}, fmt.Errorf("build report for %s: %w", in.Recipient.Address, err)
	}
	b.heed()
	d := Digest{Lang: loc.Tag(), Role: in.Role, ReportID: b.reportID(), Partner: short(in.Partner.Name), Logo: in.Partner.Logo, Accent: accent(in.Partner.Accent)}
	if in.Still != nil {
		return b.still(d), nil
	}
	switch in.Role {
	case SalesAgent:
		err = b.sales(&d)
	case AdminAgent:
		err = b.admin(&d)
	case UserAdmin:
		err = b.userAdmin(&d)
	case GlobalAdmin:
		err = b.global(&d)
	default:
		_, err = ParseRole(string(in.Role))
	}
	if err != nil {
		return Digest{}, fmt.Errorf("build report for %s: %w", in.Recipient.Address, err)
	}
	d.Lead, d.Shortened = b.lead(), b.t("shortened")
	d.Freshness, d.Footer = b.freshness(), b.footer(d.ReportID)
	d.Attachment = b.attachment()
	if d.Page, err = b.page(d); err != nil {
		return Digest{}, fmt.Errorf("build report for %s: %w", in.Recipient.Address, err)
	}
	if in.Role == SalesAgent && b.nothing() {
		d.Sections = b.nothingToSay()
	}
	b.addPictures(d.Sections, d.Page)
	if in.PageBase != "" {
		d.PageURL, d.PageLabel = strings.TrimSuffix(in.PageBase, "/")+"/"+PageName(d.ReportID), b.t("page.open")
	}
	return d, nil
}

// reportID is the same for the same report of the same facts.
func (b *builder) reportID() string {
	h := sha256.New()
	for _, part := range []string{string(b.in.Role), key(b.in.Recipient.Address), b.doc.Period.From.String(), b.doc.Period.To.String(),
		b.doc.KnownAt.UTC().Format("2006-01-02T15:04:05.999999999Z")} {
		h.Write(fmt.Appendf(nil, "%d:%s,", len(part), part))
	}
	if b.in.Still != nil {
		h.Write(fmt.Appendf(nil, "nothing newer on %s,", b.in.Still.On))
	}
	if b.in.Last != nil { // what it is compared with
		h.Write(fmt.Appendf(nil, "after %s,", b.in.Last.ReportID))
	}
	h.Write([]byte(b.in.Answers.id()))
	for _, table := range slices.Sorted(maps.Keys(b.doc.Versions)) {
		h.Write(fmt.Appendf(nil, "%d:%s=%d,", len(table), table, b.doc.Versions[table]))
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil))[:16])
}

// t is a message of the catalogue.
func (b *builder) t(key string, args ...any) string { return b.loc.Text(key, args...) }

func (b *builder) day(d data.Day) string { return b.loc.Day(d.Time()) }

// period names the period shortly, e.g. "6–12 nov" or "november 2026".
func (b *builder) period(p data.Period) string {
	if p.IsMonth() {
		return b.loc.Month(p.From.Time())
	}
	return b.loc.Range(p.From.Time(), p.To.Time())
}

// maxCurrencies is how many currencies of one amount are named; the rest is counted.
const maxCurrencies = 4

// money writes amounts of several currencies side by side, never added.
func (b *builder) money(amounts []data.Money) string {
	named, rest := mainFirst(amounts, func(m data.Money) bool { return m.Currency == b.main })
	words := make([]string, len(named))
	for i, m := range named {
		words[i] = b.loc.Money(m.Amount.String(), short(m.Currency))
	}
	text := strings.Join(words, " + ")
	if rest > 0 {
		return b.t("money.more", text, rest)
	}
	return text
}

// mainFirst leaves of something in many currencies as much as is named, what is in the
// main one first, and counts the rest. A list that is named whole keeps its order.
func mainFirst[T any](all []T, main func(T) bool) (named []T, rest int) {
	rest = len(all) - maxCurrencies
	if rest <= 0 {
		return all, 0
	}
	named = slices.Clone(all)
	slices.SortStableFunc(named, func(x, y T) int { return boolFirst(main(x), main(y)) })
	return named[:maxCurrencies], rest
}

// numbers are the signs that charts write numbers with.
func (b *builder) numbers() chart.Numbers {
	decimal, group, minus := b.loc.Signs()
	return chart.Numbers{Decimal: decimal, Group: group, Minus: minus}
}

// customer names a customer in running text: by name, else by id.
func (b *builder) customer(id data.CustomerID) string {
	return cmp.Or(short(b.bg.Customers[id].Name), short(string(id)))
}

func subscriptionName(name string, id data.SubscriptionID) string {
	return cmp.Or(short(name), short(string(id)))
}

// names lists at most three names and how many more there are; four if that is all.
func (b *builder) names(all []string) string {
	if len(all) == 4 {
		return b.loc.List(all)
	}
	return b.some(all, 3)
}

// some lists names, and how many more there are.
func (b *builder) some(all []string, shown int) string {
	if len(all) <= shown {
		return b.loc.List(all)
	}
	return b.t("list.more", strings.Join(all[:shown], ", "), len(all)-shown)
}

// unknown says why a number is not there.
func (b *builder) unknown(reason *string) string {
	if reason == nil {
		return b.t("unknown")
	}
	if text, found := strings.CutPrefix(*reason, notObservedBefore); found {
		if d, err := data.ParseDay(text); err == nil {
			return b.t("unknown.first_snapshot", b.day(d))
		}
	}
	switch *reason {
	case "not_applicable":
		return b.t("unknown.not_applicable")
	case "no_inventory":
		return b.t("unknown.no_inventory")
	}
	return b.t("unknown")
}

// noScore says why there are no scores.
func (b *builder) noScore() string {
	if b.bg.NoSignal {
		return b.t("calls.no_signal")
	}
	return b.t("calls.unknown", b.firstSnapshot())
}

// noScoreHeadline is the headline of a digest without scores.
func (b *builder) noScoreHeadline() string {
	if b.bg.NoSignal {
		return b.t("headline.no_signal")
	}
	return b.t("headline.unknown")
}

// firstSnapshot says what cannot be known about the time before it.
func (b *builder) firstSnapshot() string {
	if b.bg.FirstSnapshot == nil {
		return b.t("unknown")
	}
	return b.t("unknown.first_snapshot", b.day(*b.bg.FirstSnapshot))
}
