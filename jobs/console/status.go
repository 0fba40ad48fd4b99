package console

import (
	"time"

	"tidemark/data"
	"tidemark/jobs/ledger"
)

// Status is how tidemark does, as `tidemark status` tells it.
type Status struct {
	Level     int      // 0 well, 1 warning, 2 critical, as of `status --check`
	Why       []string // what is not well
	Watermark *data.Day
	Seal      string
	Jobs      []Job
	Mail      map[ledger.DeliveryState]int
	Waiting   int // mails that nobody tries
	Alarms    []ledger.Alarm
	DiskFree  *uint64 // bytes; nil: cannot be told
	Notes     []string
}

// Job is a configured job, and how it did.
type Job struct {
	Name, Do, Role, Period string
	Cron, Zone, After      string
	Warning                string // what about its schedule may surprise
	Next                   []time.Time
	Last                   *ledger.Run
	Success                *time.Time
	UpTo                   *data.Day // last day of usage in what it did last with success
	Pause                  *string   // why it is paused; nil: it is not
	Overdue                *time.Time
}
