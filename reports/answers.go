package reports

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"tidemark/data"
	"tidemark/transform/churn"
)

// Action is what a recipient answers about a customer.
type Action string

// The actions.
const (
	Called     Action = "called"
	NotMine    Action = "not_mine"
	Snooze     Action = "snooze"
	FalseAlarm Action = "false_alarm"
)

// Actions returns every action, in the order in which mails offer them.
func Actions() []Action { return []Action{Called, NotMine, Snooze, FalseAlarm} }

// SnoozeDays is how long a snoozed customer is left out of the calls.
const SnoozeDays = 30

const (
	answerCounts = 365 // days after which an answer is forgotten
	noteShown    = 90  // days after which a call is not told of any more
	maxQuestions = 5   // named to the admin agent; the rest is counted
)

// Answers is what the recipient of a report answered to earlier ones, and how this one
// can be answered.
type Answers struct {
	On        data.Day   // day of the mail
	Given     []Feedback // by this recipient alone, the newest first
	Questions []Question // for the admin agent
	To        string     // address that answers go to; empty: none can be given
	// Token proves an answer to a report. It is the same for the same arguments.
	Token func(report string, customer data.CustomerID, a Action) string
}

// Feedback is one answer.
type Feedback struct {
	ID       string          `json:"id"`
	Customer data.CustomerID `json:"customer"`
	Action   Action          `json:"action"`
	On       data.Day        `json:"on"`
	Until    *data.Day       `json:"until,omitempty"` // of a snooze: the first day on which the customer is back
	Stood    Stood           `json:"stood"`
}

// Stood is how a customer stood when it was answered about, or better since: what is
// worse than that is news.
type Stood struct {
	Band  churn.Band                       `json:"band"`            // the highest of the subscriptions'; empty: none had a score
	Stops map[data.SubscriptionID]data.Day `json:"stops,omitempty"` // those that had stopped, and as of which day
}

// AtRisk reports whether the customer was one to call.
func (s Stood) AtRisk() bool { return risky(s.Band) }

// Question is a customer whose sales agent says that it is not theirs.
type Question struct {
	Customer data.CustomerID `json:"customer"`
	By       string          `json:"by"` // address
	On       data.Day        `json:"on"`
}

// StandingOf says how a customer stands.
func StandingOf(all []AtRisk, id data.CustomerID) Stood {
	var s Stood
	for _, a := range all {
		if a.CustomerID != id {
			continue
		}
		if bandRank(bandOf(a)) > bandRank(s.Band) {
			s.Band = bandOf(a)
		}
		if stopped(a) {
			if s.Stops == nil {
				s.Stops = map[data.SubscriptionID]data.Day{}
			}
			s.Stops[a.SubscriptionID] = a.Origin
		}
	}
	return s
}

// Bands returns the highest band of each customer with a score.
func Bands(all []AtRisk) map[data.CustomerID]churn.Band {
	highest := map[data.CustomerID]churn.Band{}
	for _, a := range all {
		if bandRank(bandOf(a)) > bandRank(highest[a.CustomerID]) {
			highest[a.CustomerID] = bandOf(a)
		}
	}
	return highest
}

// stopped reports whether a subscription is at risk for having stopped.
func stopped(a AtRisk) bool {
	return risky(bandOf(a)) && slices.ContainsFunc(a.Reasons, func(r Reason) bool { return r.Code == "stop" || r.Code == "silence" })
}

func bandRank(b churn.Band) int {
	switch b {
	case churn.BandHigh:
		return 3
	case churn.BandMedium:
		return 2
	case churn.BandLow:
		return 1
	}
	return 0
}

// After is the answer as it counts after a mail: a customer that had come down by then
// rises from there.
func (f Feedback) After(last LastMail) Feedback {
	if counted, found := last.Counted[f.ID]; found && bandRank(counted) < bandRank(f.Stood.Band) {
		f.Stood.Band = counted
	}
	if band, found := last.Bands[f.Customer]; found && last.Sent >= f.On && bandRank(band) < bandRank(f.Stood.Band) {
		f.Stood.Band = band
	}
	return f
}

// newest returns the newest answer about each customer, where it still counts.
func (a *Answers) newest() map[data.CustomerID]Feedback {
	newest := map[data.CustomerID]Feedback{}
	if a == nil {
		return newest
	}
	for _, f := range a.Given {
		if _, found := newest[f.Customer]; !found && a.On-f.On <= answerCounts {
			newest[f.Customer] = f
		}
	}
	return newest
}

// aside is what the reader answered about customers at risk that are not listed for it.
type aside struct {
	notMine []string // names
	snoozed []data.Day
	alarms  int // called false
}

func (a aside) count() int { return len(a.notMine) + len(a.snoozed) + a.alarms }

// heed takes the customers off the calls that the reader has answered about, and notes
// the answer at those that stay. Everything else in the report is about all of them.
func (b *builder) heed() {
	b.list, b.noted = b.risks, map[data.CustomerID]string{}
	newest := b.in.Answers.newest()
	if len(newest) == 0 || b.in.Role != SalesAgent {
		return
	}
	b.list = nil
	for _, r := range b.risks {
		f, found := newest[r.id]
		if !found {
			b.list = append(b.list, r)
			continue
		}
		rose := bandRank(r.band) > bandRank(f.Stood.Band)
		switch anew := stoppedSince(r.risky, f.Stood); {
		case f.Action == NotMine:
			b.aside.notMine = append(b.aside.notMine, b.customer(r.id))
		case f.Action == Snooze && f.Until != nil && b.in.Answers.On < *f.Until && !rose && !anew:
			b.aside.snoozed = append(b.aside.snoozed, *f.Until)
		case f.Action == FalseAlarm && !rose:
			b.aside.alarms++
		default:
			b.list, b.noted[r.id] = append(b.list, r), b.note(f, rose, anew)
		}
	}
}

// stoppedSince reports whether a subscription has stopped that had not, or that was used
// again in between.
func stoppedSince(now []AtRisk, then Stood) bool {
	return slices.ContainsFunc(now, func(a AtRisk) bool {
		if !stopped(a) || a.IdleDays == nil {
			return false
		}
		as, had := then.Stops[a.SubscriptionID]
		return !had || a.Origin-data.Day(*a.IdleDays) > as
	})
}

// note says what the reader answered, and why the customer is listed nevertheless.
func (b *builder) note(f Feedback, rose, anew bool) string {
	if b.in.Answers.On-f.On > noteShown {
		return ""
	}
	var text string
	switch f.Action {
	case Called:
		return b.t("noted.called", b.day(f.On))
	case FalseAlarm:
		text = b.t("noted.false_alarm", b.day(f.On))
	case Snooze:
		text = b.t("noted.snooze", b.day(f.On))
	}
	switch {
	case rose:
		return b.t("noted.rose", text)
	case anew && f.Action == Snooze:
		return b.t("noted.stopped", text)
	}
	return text
}

// asideLines say which customers at risk are not among the calls, and why.
func (b *builder) asideLines() []string {
	var lines []string
	if names := b.aside.notMine; len(names) > 0 {
		lines = append(lines, b.t("aside.not_mine", b.names(names)))
	}
	if days := slices.Sorted(slices.Values(b.aside.snoozed)); len(days) > 0 {
		var until []string
		for _, d := range slices.Compact(days) {
			until = append(until, b.day(d))
		}
		lines = append(lines, b.t("aside.snoozed", len(days), b.names(until)))
	}
	if b.aside.alarms > 0 {
		lines = append(lines, b.t("aside.false_alarm", b.aside.alarms))
	}
	return lines
}

// answerLinks are the links that answer about a customer. None holds more of it than the
// token does.
func (b *builder) answerLinks(id data.CustomerID) []Link {
	a := b.in.Answers
	if a == nil || a.To == "" || a.Token == nil {
		return nil
	}
	links, report := make([]Link, 0, len(Actions())), b.reportID()
	for _, action := range Actions() {
		text, token := b.actionText(action), a.Token(report, id, action)
		if token == "" {
			return nil
		}
		subject := upperFirst(text) + " [" + token + "]"
		links = append(links, Link{Text: text, URL: "mailto:" + strings.ReplaceAll(url.PathEscape(a.To), "&", "%26") + "?subject=" + strings.ReplaceAll(url.QueryEscape(subject), "+", "%20")})
	}
	return links
}

func (b *builder) actionText(a Action) string {
	switch a {
	case Called:
		return b.t("answer.called")
	case NotMine:
		return b.t("answer.not_mine")
	case Snooze:
		return b.t("answer.snooze", SnoozeDays)
	}
	return b.t("answer.false_alarm")
}

// answerHint says in the plain text how to answer: addresses of this length cannot be read.
func (b *builder) answerHint() string {
	if a := b.in.Answers; a == nil || a.To == "" || a.Token == nil || len(b.list) == 0 {
		return ""
	}
	var texts []string
	for _, action := range Actions() {
		texts = append(texts, b.actionText(action))
	}
	return b.t("answer.hint", strings.Join(texts, ", "))
}

// addQuestions lists the customers that their sales agents say are not theirs.
func (b *builder) addQuestions(s *Section, todo *[]string) {
	if b.in.Answers == nil || b.in.Ownership == nil {
		return
	}
	open := 0
	for _, q := range b.in.Answers.Questions {
		_, known := b.bg.Customers[q.Customer]
		if !known || b.in.Answers.On-q.On > answerCounts || !b.in.Ownership.Scope(q.By).Contains(q.Customer) {
			continue // gone, or answered by another assignment
		}
		if open++; open <= maxQuestions {
			s.Lines = append(s.Lines, b.t("hand.question", b.agentName(q.By), b.customer(q.Customer), b.day(q.On)))
		}
	}
	if open == 0 {
		return
	}
	*todo = append(*todo, b.t("hand.question.short", open))
	if open > maxQuestions {
		s.Lines = append(s.Lines, b.t("hand.question.more", open-maxQuestions))
	}
}

// agentName names a sales agent by address.
func (b *builder) agentName(address string) string {
	for _, a := range b.in.Agents {
		if key(a.Address) == key(address) && a.Name != "" {
			return short(a.Name)
		}
	}
	return short(address)
}

// id is what tells two reports of the same facts apart that were built after other answers.
func (a *Answers) id() string {
	if a == nil {
		return ""
	}
	var out strings.Builder
	if a.To != "" {
		fmt.Fprintf(&out, "answers to %s,", a.To)
	}
	if len(a.Given)+len(a.Questions) > 0 {
		fmt.Fprintf(&out, "answered by %s,", a.On)
	}
	for _, f := range a.Given {
		fmt.Fprintf(&out, "%d:%s %s %s %s %v,", len(f.Customer), f.Customer, f.Action, f.On, f.Stood.Band, f.Stood.Stops)
	}
	for _, q := range a.Questions {
		fmt.Fprintf(&out, "%d:%s %d:%s %s,", len(q.Customer), q.Customer, len(q.By), q.By, q.On)
	}
	return out.String()
}
