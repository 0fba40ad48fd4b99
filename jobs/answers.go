package jobs

import (
	"maps"
	"slices"
	"strings"

	"tidemark/data"
	"tidemark/reports"
)

// Answers is what recipients answered to earlier reports, and how they can answer the
// ones that are built.
type Answers struct {
	To  string // address that answers go to; empty: mails offer none
	Key []byte // signs the links

	Given     map[string][]reports.Feedback // by address, the newest first
	Questions []reports.Question            // for the admin agents

	secret reportKey // of the one report that is built again, where there is no Key
}

// recordedAnswers is what of it one report was built from.
type recordedAnswers struct {
	To        string             `json:"to,omitempty"`
	Secret    []byte             `json:"secret,omitempty"` // signs the answers to this report alone
	Given     []reports.Feedback `json:"given,omitempty"`
	Questions []reports.Question `json:"questions,omitempty"`
}

// answers are those that a recipient's report is built from; nil: none, and none can be
// given. What concerns customers out of the recipient's scope is not among them.
func (d Digests) answers(r reports.Recipient, doc *reports.Document, last *reports.LastMail) *reports.Answers {
	if d.Answers == nil {
		return nil
	}
	in := &reports.Answers{On: data.DayOf(d.Date)}
	customers := slices.Sorted(maps.Keys(doc.Background.Customers))
	switch d.Role {
	case reports.SalesAgent:
		for _, f := range d.Answers.Given[strings.ToLower(r.Address)] {
			if _, mine := slices.BinarySearch(customers, f.Customer); !mine {
				continue
			}
			if last != nil {
				f = f.After(*last)
			}
			in.Given = append(in.Given, f)
		}
		if in.To = d.Answers.To; in.To != "" {
			in.Token = d.Answers.token(r.Address, customers)
		}
	case reports.AdminAgent:
		in.Questions = d.Answers.Questions
	}
	if in.To == "" && len(in.Given)+len(in.Questions) == 0 {
		return nil
	}
	return in
}

// token signs answers to the reports of a recipient about customers in its scope, sorted.
func (a Answers) token(recipient string, customers []data.CustomerID) func(string, data.CustomerID, reports.Action) string {
	return func(report string, id data.CustomerID, action reports.Action) string {
		at, found := slices.BinarySearch(customers, id)
		if !found {
			return ""
		}
		return answerToken{report, at, action, a.secretOf(report, recipient).mac(report, recipient, id, action)}.String()
	}
}

func (a Answers) secretOf(report, recipient string) reportKey {
	if a.secret != nil {
		return a.secret
	}
	return keyOfReport(a.Key, report, recipient)
}

// record is what a report was built from, to be kept; nil for nothing.
func (d Digests) record(b Built) *recordedAnswers {
	in := b.answers
	if in == nil {
		return nil
	}
	r := &recordedAnswers{To: in.To, Given: in.Given, Questions: in.Questions}
	if in.To != "" {
		r.Secret = d.Answers.secretOf(b.Digest.ReportID, b.Recipient.Address)
	}
	return r
}

// again is the Answers that a report of a recipient was built from.
func (r *recordedAnswers) again(recipient string) *Answers {
	if r == nil {
		return nil
	}
	return &Answers{To: r.To, secret: r.Secret, Questions: r.Questions, Given: map[string][]reports.Feedback{strings.ToLower(recipient): r.Given}}
}
