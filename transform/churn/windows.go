package churn

import "math"

// windows are the spans of days that features look at: a horizon of h days and
// its quarter, double and triple.
type windows struct {
	h int // the horizon, 28 by default
	w int // a quarter of it: a week
}

// windowsOf returns the windows of a horizon; a quarter is rounded half to even.
func windowsOf(horizon int) windows {
	return windows{h: horizon, w: max(1, int(math.RoundToEven(float64(horizon)/4)))}
}

// bins is in how many spans of w days the shape of a cost is looked at: those of 3H days.
func (w windows) bins() int { return int(math.RoundToEven(float64(3*w.h) / float64(w.w))) }
