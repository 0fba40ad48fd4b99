package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// The limits of event streams.
const (
	maxStreams     = 16
	streamLife     = 10 * time.Minute       // browsers then open the next by themselves
	streamPause    = 500 * time.Millisecond // between two events
	streamQuiet    = 15 * time.Second       // after which a comment shows that the stream is alive
	streamPatience = 10 * time.Second       // in which what is written must have left
)

// workRow is a run that goes on, as the page and its script show it.
type workRow struct {
	Run   string `json:"run"`
	Job   string `json:"job"`
	Step  string `json:"step"`
	Text  string `json:"text"` // how far the step is, in words
	Done  int64  `json:"done"`
	Of    int64  `json:"of"` // 0: nobody knows
	Since string `json:"since"`
}

func (c *Console) workRows(all []Work) []workRow {
	rows := make([]workRow, 0, len(all))
	for _, w := range all[:min(len(all), pageRows)] {
		row := workRow{Run: w.Run, Job: note(w.Job), Step: note(w.Step), Done: w.Done, Of: w.Of, Since: c.moment(w.Since).Text}
		switch {
		case w.Step == "":
			row.Step = "begins"
		case w.Of > 0:
			row.Text = count(w.Done) + " of " + count(w.Of)
		case w.Done > 0:
			row.Text = count(w.Done)
		}
		rows = append(rows, row)
	}
	return rows
}

// events streams what goes on now, whenever it changes.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many event streams are open", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	// The stream outlives the server's timeouts; each write has one of its own.
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Time{}) != nil || control.SetWriteDeadline(time.Time{}) != nil {
		http.Error(w, "this connection carries no event stream", http.StatusInternalServerError)
		return
	}
	life := time.NewTimer(streamLife)
	defer life.Stop()
	for said := ""; ; {
		all, changed := c.o.Board.look()
		text, err := json.Marshal(c.workRows(all))
		if err != nil {
			return
		}
		event := ": still here\n\n"
		if string(text) != said {
			said = string(text)
			event = "event: running\ndata: " + said + "\n\n"
		}
		if !send(w, control, event, streamPatience) || !c.pause(r, life, changed) {
			return
		}
	}
}

// pause waits until there may be something new to say; false: the stream ends.
func (c *Console) pause(r *http.Request, life *time.Timer, changed <-chan struct{}) bool {
	pause, quiet := time.NewTimer(streamPause), time.NewTimer(streamQuiet)
	defer pause.Stop()
	defer quiet.Stop()
	for _, until := range []<-chan struct{}{nil, changed} {
		timer := pause.C
		if until != nil {
			timer = quiet.C
		}
		select {
		case <-until:
		case <-timer:
		case <-life.C:
			return false
		case <-r.Context().Done():
			return false
		case <-c.stopped:
			return false
		}
	}
	return true
}

// send writes an event; a reader that does not take it in time is cut off.
func send(w http.ResponseWriter, control *http.ResponseController, event string, patience time.Duration) bool {
	late := time.AfterFunc(patience, func() { _ = control.SetWriteDeadline(time.Unix(1, 0)) }) // which has passed
	defer late.Stop()
	_, err := fmt.Fprint(w, event)
	return err == nil && control.Flush() == nil
}
