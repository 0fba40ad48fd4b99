// Package templates holds what reports are laid out with: the template files,
// the message catalogues of each language with its number and date formats, and
// the chart script of the interactive page. It decides nothing.
//
// A further language is one file: locales/LANGUAGE.json with the keys of
// locales/en.json. The chart script is built by `make assets`; without it
// [ChartScript] says so and reports have tables in place of charts.
package templates

import (
	"embed"
	"fmt"
)

//go:embed *.tmpl
var layouts embed.FS

//go:embed locales/*.json
var locales embed.FS

//go:embed assets/dist
var dist embed.FS

// Layout returns the text of a template: "mail.html", "mail.txt" or "page.html".
// Another name is a programmer's error.
func Layout(name string) string {
	b, err := layouts.ReadFile(name + ".tmpl")
	if err != nil {
		panic(fmt.Sprintf("layout %s: %v", name, err))
	}
	return string(b)
}

// ChartScript returns the script that draws charts and defines the global
// echarts; ok is false when it was not built in.
func ChartScript() (js []byte, ok bool) {
	js, err := dist.ReadFile("assets/dist/echarts.min.js")
	return js, err == nil && len(js) > 0
}
