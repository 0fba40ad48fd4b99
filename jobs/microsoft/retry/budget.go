package retry

import (
	"time"

	"golang.org/x/time/rate"
)

// Budget is a limit of requests in a window of time. It is kept by spacing, not
// by counting in windows, so that no window of that length ever has more. A fiftieth is kept
// back: requests that are under way at a time reach the other side closer together, or later,
// than they were sent.
type Budget struct{ limiter *rate.Limiter }

// NewBudget allows n requests in any window of the given length.
func NewBudget(n int, window time.Duration) *Budget {
	burst := max(n/20, 1) // what may start at once after a rest is taken from the rate
	every := window / time.Duration(max(n-burst-n/50, 1))
	return &Budget{rate.NewLimiter(rate.Every(every), burst)}
}

// reserve takes one request and returns how long it must wait.
func (b *Budget) reserve(now time.Time) time.Duration {
	return b.limiter.ReserveN(now, 1).DelayFrom(now)
}
