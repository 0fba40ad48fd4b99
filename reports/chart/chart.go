// Package chart defines the charts of the interactive page with go-echarts and
// makes the page itself. The library's own rendering is never used: it puts
// names into scripts unescaped. A definition leaves this package as option JSON
// only, without functions and without formatters that insert names, and the
// page hands it to one static script.
package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// MaxPoints is how many values one series may have. More make a browser slow
// and nobody sees them.
const MaxPoints = 2000

// ErrTooManyPoints says that a series has more than MaxPoints values.
var ErrTooManyPoints = errors.New("too many points for one chart")

// Definition is a chart of go-echarts.
type Definition interface {
	Validate()
	JSON() map[string]any
}

// Numbers are the signs in a language's numbers, e.g. ",", "." and "−"; the zero value
// leaves them to ECharts, which writes them as in English.
type Numbers struct {
	Decimal string `json:"decimal"`
	Group   string `json:"group"`
	Minus   string `json:"minus"`
}

// Option returns the option JSON of a chart that writes its numbers with the signs given;
// the script does, by writeNumbers. The characters <, > and & and the
// line separators are escaped, so that it can stand inside a script element.
func Option(d Definition, n Numbers) (json.RawMessage, error) {
	d.Validate()
	option := d.JSON()
	if n != (Numbers{}) {
		option["numbers"] = n
	}
	b, err := json.Marshal(option)
	if err != nil {
		return nil, fmt.Errorf("chart option: %w", err)
	}
	return b, nil
}

// Series is a named row of values. NaN is a gap.
type Series struct {
	Name   string
	Values []float64
	Colour string // "#0b6e4f"; empty: of the theme
}

// CostByDay draws a bar for each day, named as it is to be read, e.g. "5 nov",
// and as a dashed line what the same days of the previous period cost; nil: that
// is not known.
func CostByDay(days []string, cost Series, before *Series) (Definition, error) {
	all := []Series{cost}
	if before != nil {
		all = append(all, *before)
	}
	if err := check(len(days), all...); err != nil {
		return nil, fmt.Errorf("cost by day: %w", err)
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(frame(true)...)
	bar.SetXAxis(days)
	bar.AddSeries(cost.Name, barData(cost.Values), colour(cost.Colour), gap("35%"))
	if before != nil {
		line := charts.NewLine()
		line.AddSeries(before.Name, lineData(before.Values), charts.WithLineChartOpts(opts.LineChart{Symbol: "circle", SymbolSize: 5}), colour(neutral),
			charts.WithLineStyleOpts(opts.LineStyle{Width: 2, Type: "dashed", Color: neutral}))
		bar.Overlap(line)
	}
	return bar, nil
}

// Compared draws for each name a bar of the previous period beside one of the
// period.
func Compared(names []string, before, now Series) (Definition, error) {
	if err := check(len(names), before, now); err != nil {
		return nil, fmt.Errorf("compared: %w", err)
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(frame(true)...)
	bar.SetGlobalOptions(charts.WithYAxisOpts(opts.YAxis{MinInterval: 1, AxisLabel: numbers()}))
	bar.SetXAxis(names)
	bar.AddSeries(before.Name, barData(before.Values), colour(neutral), gap("45%"))
	bar.AddSeries(now.Name, barData(now.Values), colour(now.Colour), gap("45%"))
	return bar, nil
}

// Trend draws a bar for each period and, on an axis of their own, a line of
// something that is counted.
func Trend(periods []string, bars, counted Series) (Definition, error) {
	if err := check(len(periods), bars, counted); err != nil {
		return nil, fmt.Errorf("trend: %w", err)
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(frame(true)...)
	bar.SetGlobalOptions(charts.WithYAxisOpts(opts.YAxis{Position: "left", AxisLabel: numbers()}))
	bar.ExtendYAxis(opts.YAxis{MinInterval: 1, Min: 0, Position: "right", SplitLine: &opts.SplitLine{Show: opts.Bool(false)}, AxisLabel: numbers()})
	bar.SetXAxis(periods)
	bar.AddSeries(bars.Name, barData(bars.Values), colour(bars.Colour), gap("35%"))
	line := charts.NewLine()
	line.AddSeries(counted.Name, lineData(counted.Values), charts.WithLineChartOpts(opts.LineChart{YAxisIndex: 1, Symbol: "circle", SymbolSize: 6}),
		colour(neutral), charts.WithLineStyleOpts(opts.LineStyle{Width: 2, Color: neutral}))
	bar.Overlap(line)
	return bar, nil
}

// Pulse draws days as one small line above its filled ground, without axes.
func Pulse(s Series) (Definition, error) {
	if err := check(len(s.Values), s); err != nil {
		return nil, fmt.Errorf("pulse: %w", err)
	}
	line := charts.NewLine()
	line.SetGlobalOptions(
		charts.WithTitleOpts(opts.Title{Show: opts.Bool(false), Left: "0", Top: "0"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false), Left: "0", Top: "0"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(false)}),
		charts.WithGridOpts(opts.Grid{Left: "1", Right: "1", Top: "3", Bottom: "1"}),
		charts.WithXAxisOpts(opts.XAxis{Type: "category", Show: opts.Bool(false)}),
		charts.WithYAxisOpts(opts.YAxis{Show: opts.Bool(false), Min: 0}))
	line.SetXAxis(make([]string, len(s.Values)))
	line.AddSeries(s.Name, lineData(s.Values), charts.WithLineChartOpts(opts.LineChart{Symbol: "none"}), colour(s.Colour),
		charts.WithLineStyleOpts(opts.LineStyle{Width: 1.5, Color: s.Colour}), charts.WithAreaStyleOpts(opts.AreaStyle{Color: s.Colour, Opacity: opts.Float(.18)}))
	return line, nil
}

// ActiveByDay draws a line of what was active and, on an axis of their own and
// low enough to leave the line alone, bars of what ended.
func ActiveByDay(days []string, active, ended Series) (Definition, error) {
	if err := check(len(days), active, ended); err != nil {
		return nil, fmt.Errorf("active by day: %w", err)
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(frame(true)...)
	highest := 1.0
	for _, v := range ended.Values {
		if v > highest { // false for a gap
			highest = v
		}
	}
	bar.SetGlobalOptions(charts.WithYAxisOpts(opts.YAxis{MinInterval: 1, Min: 0, Max: 4 * highest, Position: "right",
		SplitLine: &opts.SplitLine{Show: opts.Bool(false)}, AxisLabel: numbers()}))
	bar.ExtendYAxis(opts.YAxis{MinInterval: 1, Scale: opts.Bool(true), Min: below(active.Values), Position: "left", AxisLabel: numbers()})
	bar.SetXAxis(days)
	bar.AddSeries(ended.Name, barData(ended.Values), colour(ended.Colour), gap("60%"))
	line := charts.NewLine()
	line.AddSeries(active.Name, lineData(active.Values), charts.WithLineChartOpts(opts.LineChart{YAxisIndex: 1, Symbol: "circle", SymbolSize: 6}),
		colour(active.Colour), charts.WithLineStyleOpts(opts.LineStyle{Width: 2, Color: active.Colour}))
	bar.Overlap(line)
	return bar, nil
}

// below is where an axis of counts begins that need not begin at 0: as far under the lowest
// as the highest is above it, so that the lowest is not drawn on the axis as if it were 0.
func below(values []float64) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high {
		return 0
	}
	return max(0, low-max(1, high-low))
}

// Ranking draws horizontal bars, the first name on top.
func Ranking(names []string, s Series) (Definition, error) {
	if err := check(len(names), s); err != nil {
		return nil, fmt.Errorf("ranking: %w", err)
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(frame(false)...)
	bar.SetGlobalOptions(
		charts.WithXAxisOpts(opts.XAxis{Type: "value", AxisLabel: numbers()}),
		charts.WithYAxisOpts(opts.YAxis{Type: "category", Inverse: opts.Bool(true),
			AxisLabel: &opts.AxisLabel{Width: 150, Overflow: "truncate", ShowMinLabel: opts.Bool(true), ShowMaxLabel: opts.Bool(true)}}))
	bar.SetXAxis(names)
	bar.AddSeries(s.Name, barData(s.Values), colour(s.Colour), gap("35%"))
	bar.XYReversal()
	return bar, nil
}

// Bands draws one bar for each band, in its own colour.
func Bands(names []string, s Series, colours []string) (Definition, error) {
	if err := check(len(names), s); err != nil {
		return nil, fmt.Errorf("bands: %w", err)
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(frame(false)...)
	bar.SetGlobalOptions(charts.WithYAxisOpts(opts.YAxis{MinInterval: 1, AxisLabel: numbers()}))
	bar.SetXAxis(names)
	points := barData(s.Values)
	for i := range points {
		if i < len(colours) && colours[i] != "" {
			points[i].ItemStyle = &opts.ItemStyle{Color: colours[i]}
		}
	}
	bar.AddSeries(s.Name, points, colour(s.Colour), gap("45%"))
	return bar, nil
}

func check(points int, series ...Series) error {
	if points > MaxPoints {
		return fmt.Errorf("%d points: %w", points, ErrTooManyPoints)
	}
	for _, s := range series {
		if len(s.Values) != points {
			return fmt.Errorf("series %q has %d values for %d places", s.Name, len(s.Values), points)
		}
		for _, v := range s.Values {
			if math.IsInf(v, 0) {
				return fmt.Errorf("series %q has an infinite value", s.Name)
			}
		}
	}
	return nil
}

// neutral is the colour of what is only there to compare with.
const neutral = "#6b7280"

func colour(c string) charts.SeriesOpts { return charts.WithItemStyleOpts(opts.ItemStyle{Color: c}) }

func gap(share string) charts.SeriesOpts {
	return charts.WithBarChartOpts(opts.BarChart{BarCategoryGap: share})
}

// numbers labels a value axis with numbers, written as Option is told.
func numbers() *opts.AxisLabel {
	return &opts.AxisLabel{Formatter: "{value}", ShowMinLabel: opts.Bool(true), ShowMaxLabel: opts.Bool(true)}
}

// frame is what all charts have in common. The title is the page's heading, and
// the positions are said, since the defaults of the script's versions differ.
func frame(legend bool) []charts.GlobalOpts {
	top := "16"
	if legend {
		top = "44"
	}
	return []charts.GlobalOpts{
		charts.WithTitleOpts(opts.Title{Show: opts.Bool(false), Left: "0", Top: "0"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(legend), Left: "0", Top: "0"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis", AxisPointer: &opts.AxisPointer{Type: "shadow"}}),
		charts.WithGridOpts(opts.Grid{Left: "8", Right: "16", Top: top, Bottom: "8", ContainLabel: opts.Bool(true)}),
		charts.WithXAxisOpts(opts.XAxis{Type: "category", AxisLabel: &opts.AxisLabel{HideOverlap: opts.Bool(true)}}),
		charts.WithYAxisOpts(opts.YAxis{AxisLabel: numbers()}),
	}
}

func barData(values []float64) []opts.BarData {
	points := make([]opts.BarData, len(values))
	for i, v := range values {
		points[i] = opts.BarData{Value: value(v)}
	}
	return points
}

func lineData(values []float64) []opts.LineData {
	points := make([]opts.LineData, len(values))
	for i, v := range values {
		points[i] = opts.LineData{Value: value(v)}
	}
	return points
}

// value is what the option holds for a number: nothing for a gap.
func value(v float64) any {
	if math.IsNaN(v) {
		return nil
	}
	return round(v)
}

// round leaves two decimals: charts show, tables are exact.
func round(v float64) float64 { return math.Round(v*100) / 100 }
