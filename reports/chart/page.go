package chart

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
)

// PageInput is what the interactive page is made of. All texts are escaped by
// the place they stand in.
type PageInput struct {
	Layout   string // the template of the page
	Script   []byte // defines the global echarts; nil: tables only
	Lang     string // e.g. "nl"
	Title    string
	Lead     string
	Lines    []string // what stands above the first figure
	Figures  []Figure
	Footer   []string
	Accent   string // "#0b6e4f"
	NoCharts string // said in place of charts when there is no script
	Data     string // what the table of a chart is called
}

// Figure is a chart with its table, or a table alone.
type Figure struct {
	ID       string // "cost_by_day"
	Title    string
	Lines    []string // what the figure shows, in words
	Currency string   // of the amounts; empty for figures without
	Section  string   // of the mail, whose numbers the chart shows
	Finding  string   // what the chart shows, as its heading; empty: nothing to say
	PageOnly bool     // it has no place in a mail
	Numbers  string   // the finding's numbers, in words
	Group    string   // title of the section's list with the same numbers
	Grouped  bool     // there is such a list
	Option   json.RawMessage
	Height   int // of the chart, in pixels; 0: 300
	Tables   []Table
}

// Table is a table of finished texts. The first column holds row headings.
type Table struct {
	Caption string
	Head    []string
	Rows    [][]string
	Words   bool // every column holds words, so none is aligned right
}

// start draws every chart from the option beside it. It is the only script of
// the page that is not the chart library.
const start = `"use strict";
(function () {
  var dark = window.matchMedia && matchMedia("(prefers-color-scheme: dark)").matches;
  document.querySelectorAll("[data-option]").forEach(function (box) {
    var option = JSON.parse(document.getElementById(box.dataset.option).textContent);
    if (typeof writeNumbers === "function") writeNumbers(option);
    option.backgroundColor = "transparent";
    option.animation = !(window.matchMedia && matchMedia("(prefers-reduced-motion: reduce)").matches);
    var chart = echarts.init(box, dark ? "dark" : null);
    chart.setOption(option);
    window.addEventListener("resize", function () { chart.resize(); });
    window.addEventListener("beforeprint", function () { chart.resize(); });
  });
})();
`

// pageData is what the layout sees.
type pageData struct {
	PageInput
	Policy  string
	Library template.JS
	Start   template.JS
	Figures []figureData
}

type figureData struct {
	Figure
	Option template.JS
	Draw   bool
}

// Page returns the page as one file that loads nothing: script, options and
// style are inside, and its content security policy allows exactly the two
// scripts in it.
func Page(in PageInput) ([]byte, error) {
	layout, err := template.New("page").Parse(in.Layout)
	if err != nil {
		return nil, fmt.Errorf("page layout: %w", err)
	}
	data := pageData{PageInput: in, Policy: Policy(in.Script)}
	if len(in.Script) > 0 {
		if bytes.Contains(bytes.ToLower(in.Script), []byte("</script")) || bytes.Contains(in.Script, []byte("<!--")) {
			return nil, errors.New("page: the chart script would end its own element")
		}
		data.Library, data.Start = template.JS(in.Script), template.JS(start)
	}
	for _, f := range in.Figures {
		if f.Height == 0 {
			f.Height = 300
		}
		if string(f.Option) == "null" { // how none is archived
			f.Option = nil
		}
		var option bytes.Buffer
		json.HTMLEscape(&option, f.Option)
		if len(f.Option) > 0 && !json.Valid(f.Option) {
			return nil, fmt.Errorf("page: the option of figure %s is no JSON", f.ID)
		}
		data.Figures = append(data.Figures, figureData{Figure: f, Option: template.JS(option.String()), Draw: len(in.Script) > 0 && len(f.Option) > 0})
	}
	var out bytes.Buffer
	if err := layout.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return out.Bytes(), nil
}

// Policy is the content security policy of a page with a chart script; nil: with
// none. It allows that script and the one that starts it, and nothing else.
func Policy(script []byte) string {
	p := "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
	if len(script) > 0 {
		p += "; script-src " + hash(script) + " " + hash([]byte(start))
	}
	return p
}

// hash is a source of a content security policy that allows one script.
func hash(script []byte) string {
	sum := sha256.Sum256(script)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
