package reports

import (
	"slices"

	"tidemark/reports/chart"
)

// Digest is one recipient's report in words: finished texts and widths, laid
// out by templates without any further decision.
type Digest struct {
	Lang      string // e.g. "nl", for the lang attribute
	Role      Role
	ReportID  string
	Subject   string
	Preheader string // what a mail client shows beside the subject
	Banner    string // above everything else, e.g. that the mail was diverted; mostly empty
	Headline  string
	Lead      string // the one line between headline and first call
	Partner   string
	Logo      *Logo  `json:"-"` // above the headline; mostly nil
	Accent    string // "#0b6e4f", dark enough for text on the mail's ground
	Sections  []Section
	Shown     bool     // the images of the pictures go with the mail
	PageURL   string   // of the interactive page; empty: the mail does not link to one
	PageLabel string   // text of the link
	Freshness []string // how complete the data is
	Footer    []string // report id, seal, versions, what an estimate is
	Shortened string   // said in a section that had to be cut down to fit a mail

	Attachment Attachment
	Page       Page
}

// Section is one part of a report. Whatever is empty is left out.
type Section struct {
	ID       string // "calls", for anchors and tests
	Title    string
	Lines    []string // sentences
	Calls    []Call
	Pictures []Picture
	Tables   []Table
	Groups   []BarGroup
	Aside    []string `json:",omitempty"` // which customers are not among the calls, and why
	Hint     string   `json:",omitempty"` // in the plain text only: how to answer
	More     string   // e.g. "nog 50 in de bijlage"
	Note     string   // a quieter last line
	Metric   bool     // belongs to the numbers, below what must be acted on
}

// Call is one customer to call.
type Call struct {
	Rank    int
	Name    string
	Band    string   // in words
	Colour  string   // of the band
	Percent string   // e.g. "72 %"
	Before  string   // e.g. "(vorige periode 31 %)"; empty: unknown
	Odds    string   // what the percentage means
	Money   string   // e.g. "± € 1.980 van € 2.750 Azure-inkoop per maand"; empty without money
	Width   int      // percent, of the bar
	Pulse   *Picture // what was used on each of the last days; nil: too little is known
	Reasons []string
	Step    string // what to do
	Dial    string // digits with an optional leading +, of the link; empty: no number
	Action  string // e.g. "Bel Jan Jansen: 010 555 01 23", the text of the telephone link
	Compact bool   // one finding only
	Noted   string `json:",omitempty"` // what the reader answered before
	Answers []Link `json:",omitempty"` // ways to answer now
}

// Link is a link in a mail.
type Link struct{ Text, URL string }

// Table is a table of at most three columns.
type Table struct {
	Caption string
	Head    []string
	Rows    [][]Cell
}

// Cell is one cell; Sub is a second, quieter line.
type Cell struct {
	Text, Sub string
	Number    bool // aligned right
}

// BarGroup is a list of labelled bars. Beside its picture they are only numbers.
type BarGroup struct {
	Picture *Picture // of the same numbers; may be nil
	Title   string
	Bars    []Bar
}

// Plain is the group as numbers only.
func (g BarGroup) Plain() BarGroup {
	bars := slices.Clone(g.Bars)
	for i := range bars {
		bars[i].Colour = ""
	}
	return BarGroup{Title: g.Title, Bars: bars}
}

// Bar is one bar of a group.
type Bar struct {
	Label, Value, Note string
	Width              int // percent of the widest
	Colour             string
	number             float64 // what the chart draws
}

// Attachment is the table that is attached to a mail: every row of what the
// mail shows the top of.
type Attachment struct {
	Head  []string
	Rows  [][]Field
	Comma rune   // between fields, as spreadsheets of the language expect it
	Point string // in decimal numbers
}

// Field is one field of the attachment. A number is written as one; any other
// text is kept from being read as a formula.
type Field struct {
	Text   string
	Number bool // Text is a decimal with a point
}

// Page is what the interactive page has beside the sections: charts with their
// tables, and the tables in full length.
type Page struct {
	Figures  []chart.Figure
	NoCharts string // the line that stands in for charts without their script
	Data     string // caption of a chart's table, e.g. "Cijfers bij deze grafiek"
}
