package reports

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"

	"golang.org/x/text/width"

	"tidemark/reports/chart"
	"tidemark/reports/chart/raster"
	"tidemark/templates"
)

// maxHTML is the size that no HTML body may exceed: some clients cut a mail off
// a little above 100 KB, and the transfer encoding adds to it.
const maxHTML = 80 << 10

// textWidth is the number of columns of the plain text.
const textWidth = 76

// Rendered is a report laid out in every form.
type Rendered struct {
	Subject string
	HTML    string  // the body of the mail
	Text    string  // the same facts as plain text
	CSV     []byte  // the attachment, see Attachment.CSV
	Page    []byte  // the interactive page, one file that loads nothing
	Images  []Image // of the mail's charts, in their order
}

// Render lays a digest out, with its charts drawn by charts; nil: without
// pictures. A mail that would be larger than clients show in full is shortened; one that
// cannot be is an error.
func Render(d Digest, charts *raster.Renderer) (Rendered, error) {
	r := Rendered{Subject: d.Subject, CSV: d.Attachment.CSV()}
	d.Shown = charts != nil
	var err error
	if r.HTML, err = renderHTML(d); err != nil {
		return Rendered{}, fmt.Errorf("render report %s: %w", d.ReportID, err)
	}
	for len(r.HTML) > maxHTML {
		var ok bool
		if d.Sections, ok = shorten(d.Sections, d.Shortened); !ok {
			return Rendered{}, fmt.Errorf("render report %s: the HTML body has %d bytes, more than the %d that clients show in full", d.ReportID, len(r.HTML), maxHTML)
		}
		if r.HTML, err = renderHTML(d); err != nil {
			return Rendered{}, fmt.Errorf("render report %s: %w", d.ReportID, err)
		}
	}
	if r.Images, err = draw(d, charts); err != nil {
		return Rendered{}, fmt.Errorf("render report %s: %w", d.ReportID, err)
	}
	if r.Text, err = renderText(d); err != nil {
		return Rendered{}, fmt.Errorf("render report %s: %w", d.ReportID, err)
	}
	if r.Page, err = RenderPage(d); err != nil {
		return Rendered{}, err
	}
	return r, nil
}

// RenderPage lays out the interactive page of a digest alone.
func RenderPage(d Digest) ([]byte, error) {
	script, _ := templates.ChartScript()
	page, err := renderPage(d, script)
	if err != nil {
		return nil, fmt.Errorf("render report %s: %w", d.ReportID, err)
	}
	return page, nil
}

func renderHTML(d Digest) (string, error) {
	layout, err := htmltemplate.New("mail").Funcs(htmltemplate.FuncMap{
		"mso": mso, // a comment that only Outlook on Windows reads
	}).Parse(templates.Layout("mail.html"))
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := layout.Execute(&out, d); err != nil {
		return "", err
	}
	return out.String(), nil
}

// mso wraps markup of the layout itself in a conditional comment, which
// html/template would drop.
func mso(markup string) htmltemplate.HTML {
	return htmltemplate.HTML("<!--[if mso]>" + markup + "<![endif]-->")
}

func renderText(d Digest) (string, error) {
	layout, err := texttemplate.New("text").Funcs(texttemplate.FuncMap{
		"wrap":  wrap,      // a text in lines with a first and a following indent
		"table": textTable, // a table in aligned columns
		"bars":  textBars,  // a group of bars in aligned columns
		"rule":  rule,      // a line under a heading
	}).Parse(templates.Layout("mail.txt"))
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := layout.Execute(&out, d); err != nil {
		return "", err
	}
	return out.String(), nil
}

func renderPage(d Digest, script []byte) ([]byte, error) {
	return chart.Page(chart.PageInput{Layout: templates.Layout("page.html"), Script: script, Lang: d.Lang, Title: d.Headline, Lead: d.Partner + " · " + d.Lead,
		Lines: d.Freshness, Figures: d.Page.Figures, Footer: d.Footer, Accent: d.Accent, NoCharts: d.Page.NoCharts, Data: d.Page.Data})
}

// wrap breaks a text at spaces into lines of at most textWidth columns.
func wrap(first, next, s string) string {
	var out strings.Builder
	out.WriteString(first)
	at := Columns(first)
	fresh := true
	for _, word := range strings.Fields(s) {
		n := Columns(word)
		if !fresh && at+1+n > textWidth {
			out.WriteString("\n" + next)
			at, fresh = Columns(next), true
		}
		if !fresh {
			out.WriteByte(' ')
			at++
		}
		out.WriteString(word)
		at += n
		fresh = false
	}
	return out.String()
}

// Columns is how wide a text is in a font of one width: the letters of East Asia take two.
func Columns(s string) int {
	n := 0
	for _, r := range s {
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
	}
	return n
}

// rule underlines a heading.
func rule(s string) string { return strings.Repeat("-", min(textWidth, Columns(s))) }

// textTable aligns a table in columns: the first takes what the others leave.
func textTable(t Table) string {
	lines := [][]Cell{make([]Cell, len(t.Head))}
	for i, h := range t.Head {
		lines[0][i] = Cell{Text: h}
	}
	for _, row := range t.Rows {
		main, sub, any := make([]Cell, len(row)), make([]Cell, len(row)), false
		for i, c := range row {
			main[i] = Cell{Text: c.Text}
			if sub[i].Text = c.Sub; c.Sub != "" {
				any = true
			}
		}
		if lines = append(lines, main); any {
			if sub[0].Text != "" {
				sub[0].Text = "  " + sub[0].Text
			}
			lines = append(lines, sub)
		}
	}
	widths := make([]int, len(t.Head))
	rest := textWidth
	for i := 1; i < len(widths); i++ {
		for _, line := range lines {
			widths[i] = max(widths[i], Columns(line[i].Text))
		}
		widths[i] = min(widths[i], 26)
		rest -= widths[i] + 2
	}
	widths[0] = rest
	var out strings.Builder
	for _, line := range lines {
		writeColumns(&out, line, widths)
	}
	return strings.TrimRight(out.String(), "\n")
}

// writeColumns writes one line of a table, and as many more as its longest cell
// needs.
func writeColumns(out *strings.Builder, line []Cell, widths []int) {
	parts := make([][]string, len(line))
	height := 0
	for i, c := range line {
		parts[i] = fold(c.Text, widths[i])
		height = max(height, len(parts[i]))
	}
	for y := range height {
		var row strings.Builder
		for i := range line {
			text := ""
			if y < len(parts[i]) {
				text = parts[i][y]
			}
			pad := strings.Repeat(" ", max(0, widths[i]-Columns(text)))
			if i == 0 {
				row.WriteString(text + pad)
			} else {
				row.WriteString("  " + pad + text)
			}
		}
		out.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
}

// fold breaks a text into lines of a width, inside a word only when the word
// alone is longer.
func fold(s string, room int) []string {
	indent := s[:len(s)-len(strings.TrimLeft(s, " "))]
	var lines []string
	line := indent
	for _, word := range strings.Fields(s) {
		for Columns(word) > room-len(indent) {
			if line != indent {
				lines, line = append(lines, line), indent
			}
			head := FirstColumns(word, room-len(indent))
			lines = append(lines, indent+head)
			word = word[len(head):]
		}
		switch {
		case line == indent:
			line += word
		case Columns(line)+1+Columns(word) <= room:
			line += " " + word
		default:
			lines, line = append(lines, line), indent+word
		}
	}
	if line != indent || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// FirstColumns is as much of a text as fits, at least its first character.
func FirstColumns(s string, room int) string {
	for i, r := range s {
		if room -= Columns(string(r)); room < 0 && i > 0 {
			return s[:i]
		}
	}
	return s
}

// textBars writes a group of bars as a table: label, value, note.
func textBars(g BarGroup) string {
	t := Table{Head: []string{g.Title, "", ""}}
	for _, b := range g.Bars {
		t.Rows = append(t.Rows, []Cell{{Text: b.Label}, {Text: b.Value}, {Text: b.Note}})
	}
	text := textTable(t)
	if g.Title == "" {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}
