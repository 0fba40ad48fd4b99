package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tidemark/transform/churn"
)

const (
	maxCalls   = 10
	fullCalls  = 3   // with every finding; the rest get one
	longList   = 5   // from more calls on only the first is full, and what is unused stands below the summary: more of them fit
	maxBullets = 3   // findings of one call
	wordBudget = 350 // of everything before the charts
)

// detail is how much is said about a call.
type detail int

const (
	full    detail = iota
	compact        // one finding, the question in short
	terse          // the same without names and words that repeat
)

// calls returns the customers to call as a section: as many as the words allow, in the
// fullest form in which all of them fit.
func (b *builder) calls(spent int) (Section, error) {
	s := Section{ID: "calls", Aside: b.asideLines(), Hint: b.answerHint()}
	spent += len(strings.Fields(strings.Join(s.Aside, " ")))
	for _, f := range b.forms() {
		s.Calls = nil
		left := wordBudget - spent
		for i, risk := range b.list[:min(len(b.list), maxCalls)] {
			c := b.call(i+1, risk, f)
			var err error
			if c.Pulse, err = b.pulse(i+1, risk); err != nil {
				return s, err
			}
			left -= words(c)
			if i > 0 && left < 0 {
				break
			}
			s.Calls = append(s.Calls, c)
		}
		if len(s.Calls) == min(len(b.list), maxCalls) {
			break
		}
	}
	if rest := len(b.list) - len(s.Calls); rest > 0 {
		s.More = b.t("more.attachment", rest)
	}
	return s, nil
}

// form is how the calls of a list are described: so many in full, the rest in less detail.
type form struct {
	full int
	rest detail
}

// forms are those to try, the fullest first. Links to answer by take words as well: for
// them more calls than usual may be short.
func (b *builder) forms() []form {
	if len(b.list) > longList {
		return []form{{1, compact}, {1, terse}}
	}
	forms := []form{{fullCalls, compact}, {fullCalls, terse}}
	if a := b.in.Answers; a != nil && a.To != "" {
		forms = append(forms, form{1, compact}, form{1, terse})
	}
	return forms
}

// call describes one call.
func (b *builder) call(rank int, r customerRisk, f form) Call {
	top, told := r.risky[0], full
	if rank > f.full {
		told = f.rest
	}
	c := Call{Rank: rank, Name: b.customer(r.id), Band: b.band(r.band), Colour: colourOf(level(r.band)), Percent: b.loc.Percent(r.score),
		Width: max(2, int(math.Round(r.score*100))), Compact: told != full}
	if r.previous != nil {
		switch before := b.loc.Percent(*r.previous); {
		case told == terse:
			c.Percent = b.t("call.moved", before, c.Percent)
		case b.in.Last != nil:
			c.Before = b.t("call.before.mail", before)
		default:
			c.Before = b.t("call.before", before)
		}
	}
	if rank == 1 {
		c.Odds = b.t("call.odds", top.HorizonDays/7)
		if top.BaseRate != nil {
			c.Odds = b.t("call.average", c.Odds, b.loc.Percent(*top.BaseRate))
		}
	}
	if len(r.loss) > 0 {
		loss, monthly := b.money(r.loss), b.money(r.monthly)
		c.Money = [...]string{full: b.t("call.money", loss, monthly), compact: b.t("call.money.short", loss, monthly), terse: b.t("call.money.terse", loss)}[told]
	}
	c.Reasons = b.findings(r)
	if c.Compact {
		c.Reasons = c.Reasons[:min(1, len(c.Reasons))]
	}
	c.Step = b.t("step." + stepOf(top))
	if c.Compact {
		c.Step = b.t("step.short." + stepOf(top))
	}
	contact := b.bg.Customers[r.id]
	c.Dial = dial(contact.Phone)
	who := reachable(contact, c.Dial != "")
	switch {
	case c.Dial != "" && who != "" && told != terse:
		c.Action = b.t("call.phone.contact", who, short(contact.Phone))
	case c.Dial != "":
		c.Action = b.t("call.phone", short(contact.Phone))
	case who != "":
		c.Action = b.t("call.contact", who)
	default:
		c.Action = b.t("call.nobody")
	}
	c.Noted, c.Answers = b.noted[r.id], b.answerLinks(r.id)
	return c
}

// reachable names whom to ask for and every way there that is not a link.
func reachable(c Customer, dialled bool) string {
	var parts []string
	for _, part := range []string{c.Contact, c.Email} {
		if text := short(part); text != "" {
			parts = append(parts, text)
		}
	}
	if text := short(c.Phone); text != "" && !dialled {
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// findings lists why a customer is at risk. With several subscriptions each
// line begins with the subscription it is about.
func (b *builder) findings(r customerRisk) []string {
	var lines []string
	if len(r.risky) == 1 {
		for _, reason := range r.risky[0].Reasons {
			lines = append(lines, reasonText(b.loc, reason.Finding))
		}
		lines = lines[:min(maxBullets, len(lines))]
		for _, flag := range r.risky[0].Flags {
			if flag.Code != "short_history" { // that says something about the score, not about the customer
				lines = append(lines, flagText(b.loc, flag.Finding))
			}
		}
		return lines
	}
	for i, a := range r.risky {
		if i == maxBullets-1 && len(r.risky) > maxBullets {
			return append(lines, b.t("call.subscriptions.more", len(r.risky)-i))
		}
		line := b.t("call.subscription", subscriptionName(string(a.Name), a.SubscriptionID), b.loc.Percent(*a.Score))
		if len(a.Reasons) > 0 {
			line = b.t("call.subscription.reason", line, lowerFirst(reasonText(b.loc, a.Reasons[0].Finding)))
		}
		lines = append(lines, line)
	}
	return lines
}

// stepOf picks the question to ask from the strongest finding.
func stepOf(a AtRisk) string {
	if len(a.Reasons) > 0 {
		switch code := a.Reasons[0].Code; code {
		case "stop", "silence", "services", "trend":
			return code
		case "activity", "cost", "drop":
			return "trend"
		}
	}
	return "other"
}

func (b *builder) band(band churn.Band) string {
	switch band {
	case churn.BandHigh:
		return b.t("band.high")
	case churn.BandMedium:
		return b.t("band.medium")
	}
	return b.t("band.low")
}

// level is the band as templates know it.
func level(band churn.Band) string { return strings.ToLower(string(band)) }

// words counts the words of a call as a reader does.
func words(c Call) int {
	all := []string{c.Name, c.Band, c.Percent, c.Before, c.Odds, c.Money, c.Step, c.Action, c.Noted, strings.Join(c.Reasons, " ")}
	n := 1 + len(strings.Fields(strings.Join(all, " ")))
	for _, l := range c.Answers {
		n += len(strings.Fields(l.Text))
	}
	if !c.Compact {
		n += len(c.Reasons) // their bullets
		if c.Pulse != nil {
			n += len(strings.Fields(c.Pulse.Text))
		}
	}
	return n
}

// wordsOf counts the words of a section without calls.
func wordsOf(s Section) int {
	all := append([]string{s.Title, s.More, s.Note}, s.Lines...)
	for _, t := range s.Tables {
		all = append(all, t.Head...)
		for _, row := range t.Rows {
			for _, c := range row {
				all = append(all, c.Text, c.Sub)
			}
		}
	}
	return len(strings.Fields(strings.Join(all, " ")))
}

// lowerFirst puts a sentence after a colon.
func lowerFirst(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(first)) + s[size:]
}

// upperFirst begins a sentence.
func upperFirst(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// headline says how many customers to call and what is at stake.
func (b *builder) headline() (string, error) {
	if !b.bg.Scored {
		return b.noScoreHeadline(), nil
	}
	if len(b.risks) == 0 {
		return b.t("headline.quiet"), nil
	}
	if len(b.list) == 0 {
		return b.t("headline.aside", b.aside.count()), nil
	}
	loss, err := totalLoss(b.list)
	if err != nil {
		return "", err
	}
	if len(loss) == 0 {
		return b.t("headline.calls", len(b.list)), nil
	}
	return b.t("headline.calls.money", len(b.list), b.money(loss)), nil
}

// preheader names the first call with its strongest finding, and good news.
func (b *builder) preheader(recovered int) string {
	var parts []string
	if len(b.list) > 0 {
		first := b.list[0]
		line := b.customer(first.id)
		if found := b.findings(first); len(found) > 0 {
			line = fmt.Sprintf("%s: %s", line, lowerFirst(found[0]))
		}
		parts = append(parts, line)
	}
	if recovered > 0 {
		parts = append(parts, b.t("preheader.recovered", recovered))
	}
	if len(parts) == 0 {
		return b.lead()
	}
	return strings.Join(parts, " · ")
}

// lead is the one line under the headline: the days the numbers are about.
func (b *builder) lead() string {
	period := b.period(b.doc.Period)
	if b.doc.Watermark == nil || *b.doc.Watermark >= b.doc.Period.To {
		return b.t("lead", period)
	}
	return b.t("lead.until", period, b.day(*b.doc.Watermark))
}

// subject is the headline with the period.
func (b *builder) subject(headline string) string {
	return fmt.Sprintf("%s (%s)", strings.TrimSuffix(headline, "."), b.period(b.doc.Period))
}

// sales is the weekly digest of a sales agent.
func (b *builder) sales(d *Digest) error {
	headline, err := b.headline()
	if err != nil {
		return err
	}
	changes := b.changes()
	lost := b.lost(changes)
	changes.told = len(lost.Lines) > 0
	changes.silent, changes.ended = nil, slices.DeleteFunc(changes.ended, b.over) // named there already
	since := b.since(changes)
	d.Headline, d.Subject, d.Preheader = headline, b.subject(headline), b.preheader(len(changes.recovered))
	idle, long := b.withoutUsage(), len(b.list) > longList
	above := idle
	if long {
		above = Section{}
	}
	around := []string{headline, short(b.in.Partner.Name), "·", b.lead(), b.covering(), b.t("more.attachment", len(b.list)),
		b.t("summary.title"), b.mainFinding()} // above the first chart
	calls, err := b.calls(len(strings.Fields(strings.Join(around, " "))) + wordsOf(lost) + wordsOf(since) + wordsOf(above))
	if err != nil {
		return err
	}
	calls.Note = b.covering()
	d.Sections = []Section{b.orQuiet(calls)}
	if len(lost.Lines) > 0 {
		d.Sections = append(d.Sections, lost)
	}
	if d.Sections = append(d.Sections, since); !long {
		d.Sections = append(d.Sections, idle)
	}
	numbers := b.metrics()
	if long {
		numbers = slices.Insert(numbers, 1, idle)
	}
	d.Sections = append(d.Sections, numbers...)
	return nil
}

// covering says whose customers are here, too.
func (b *builder) covering() string {
	var names []string
	for _, c := range b.in.Covers {
		names = append(names, b.t("cover.until", short(c.Name), b.day(c.Until)))
	}
	if len(names) == 0 {
		return ""
	}
	return b.t("cover", b.loc.List(names))
}

// nothing reports whether a sales agent has nothing to read: nobody is at risk,
// nothing has changed, everything was used and read.
func (b *builder) nothing() bool {
	c := b.changes()
	return b.bg.Scored && b.known && len(b.risks)+len(c.risen)+len(c.joined)+len(c.recovered)+len(c.silent)+len(c.ended) == 0 &&
		c.sold == 0 && len(b.doc.WithoutUsage) == 0 && len(b.bg.Freshness.Failed) == 0
}

// nothingToSay is the digest of such an agent: with headline and lead it is five
// lines. The numbers are on the page and in the attachment.
func (b *builder) nothingToSay() []Section {
	since := b.t("nothing.period", b.period(b.doc.Previous))
	if last := b.in.Last; last != nil {
		since = b.t("nothing.mail", b.day(last.Sent))
	}
	usage := b.t("nothing.usage", b.loc.Int(valueOf(b.doc.CustomersWithUsage)))
	if finding := b.mainFinding(); finding != "" {
		usage = finding + "."
	}
	return []Section{{ID: "calls", Lines: []string{b.t("calls.quiet", len(b.bg.Customers)), since, usage}, Note: b.covering()}}
}

// mainFinding is what the cost did in the currency most is billed in; empty without cost.
func (b *builder) mainFinding() string {
	if b.doc.Costs == nil {
		return ""
	}
	for _, c := range b.doc.Cost {
		if c.Currency == b.main {
			finding, _ := b.costFinding(c)
			return finding
		}
	}
	return ""
}

// orQuiet says plainly that there is nobody to call.
func (b *builder) orQuiet(s Section) Section {
	switch {
	case !b.bg.Scored:
		s.Lines = []string{b.noScore()}
	case len(s.Calls) == 0 && len(s.Aside) > 0: // they say it
	case len(s.Calls) == 0:
		s.Lines = []string{b.t("calls.quiet", len(b.bg.Customers))}
	case b.list[0].risky[0].Quiet:
		s.Note = strings.TrimSpace(s.Note + " " + b.t("calls.holiday"))
	}
	return s
}
