// Package templates holds what reports are laid out with: the template files,
// the message catalogues of each language with its number and date formats, the
// chart script of the interactive page, and the pages of the console. It decides
// nothing.
//
// A further language is one file: locales/LANGUAGE.json with the keys of
// locales/en.json. The chart script is built by `make assets`; without it
// [ChartScript] says so and reports have tables in place of charts.
package templates

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed *.tmpl
var layouts embed.FS

//go:embed console
var console embed.FS

//go:embed locales/*.json
var locales embed.FS

//go:embed assets/dist assets/numbers.js
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

// Console returns the templates, style and script of the pages that a serving
// tidemark shows.
func Console() fs.FS {
	files, err := fs.Sub(console, "console")
	if err != nil {
		panic(err) // the folder is fixed
	}
	return files
}

// Licences returns the licences of the chart script and of the fonts that charts
// are drawn with, one text after the other; empty when they are not built in.
func Licences() string {
	files, err := fs.Glob(dist, "assets/dist/*.txt")
	if err != nil {
		panic(err) // the pattern is fixed
	}
	var all strings.Builder
	for _, file := range files {
		text, err := dist.ReadFile(file)
		if err != nil {
			panic(err) // it was listed a line above
		}
		fmt.Fprintf(&all, "==== %s\n\n%s\n", strings.TrimSuffix(path.Base(file), ".txt"), text)
	}
	return all.String()
}

// ChartScript returns the script that draws charts: it defines the globals echarts and
// writeNumbers. ok is false when it was not built in.
func ChartScript() (js []byte, ok bool) {
	js, err := dist.ReadFile("assets/dist/echarts.min.js")
	if err != nil || len(js) == 0 {
		return nil, false
	}
	numbers, err := dist.ReadFile("assets/numbers.js")
	return slices.Concat(js, []byte("\n"), numbers), err == nil
}
