// Package raster draws a chart's option as a PNG, with the same ECharts that the
// interactive page uses and without a browser.
//
//  1. An engine is a JavaScript runtime (goja) that has loaded the chart script.
//     It has no document, only a canvas that records what is drawn on it.
//  2. record.js turns the calls on that canvas into numbers and texts.
//  3. A player goes through them and fills paths on a Go image: golang.org/x/image
//     /vector for areas, outlines of the fonts for text, a stroker of its own.
//  4. The picture is written as a PNG, with a palette where that is smaller.
//
// Equal options give equal bytes: nothing depends on time, time zone, locale or
// on which engine of the pool draws. ECharts' output was compared with
// Chromium's: see the browser tests.
package raster
