package churn

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"tidemark/data"
)

// Model turns what is known of a subscription into a probability. The one that Prior returns
// needs no labels; Train returns one that was fitted to a partner's own history.
type Model struct {
	file  modelFile
	terms *terms
	hash  string // of the file; empty for the prior
}

// modelFile is a trained model as it is stored.
type modelFile struct {
	Method     string     `json:"method"` // "usage-1"
	Kind       Kind       `json:"kind"`
	Horizon    int        `json:"horizon_days"`
	Population Population `json:"population"`
	Terms      []float64  `json:"terms"` // coefficients, in the order of the method's terms
	Intercept  float64    `json:"intercept"`
	NoSignal   bool       `json:"no_signal"` // past churn does not follow usage here
	Training   Training   `json:"training"`
}

// Training says what a model was fitted to and how it did.
type Training struct {
	Watermark data.Day `json:"watermark"`
	Origins   int      `json:"origins"`
	Rows      int      `json:"rows"`
	Churned   int      `json:"churned"` // rows

	Subscriptions int `json:"subscriptions"`         // behind the rows
	Lost          int `json:"churned_subscriptions"` // of them

	Last     data.Day         `json:"last_origin"`        // the newest day whose outcome is known
	AUC      Interval         `json:"auc_within"`         // out of time, on the origins of the last two horizons
	Brier    float64          `json:"brier_last_origin"`  // out of time
	Platt    bool             `json:"platt"`              // a last calibration was worth it
	Versions map[string]int64 `json:"versions,omitempty"` // of the tables it was read from
	KnownAt  *time.Time       `json:"known_at,omitempty"` // what was known then
}

const method = "usage-1"

// Prior returns the model of day one: coefficients fitted on public histories, the level of
// each day by BG/BB. Its probabilities are not calibrated on the partner's churn.
func Prior(horizon int) (*Model, error) {
	t, err := readTerms()
	if err != nil {
		return nil, err
	}
	return &Model{terms: t, file: modelFile{Method: method, Horizon: horizon, Kind: KindPrior, Terms: t.betas()}}, nil
}

// ReadModel reads a stored model.
func ReadModel(raw []byte) (*Model, error) {
	t, err := readTerms()
	if err != nil {
		return nil, err
	}
	m := &Model{terms: t}
	if err := json.Unmarshal(raw, &m.file); err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if m.file.Method != method {
		return nil, fmt.Errorf("read model: method %q: this version knows %s only; train again", m.file.Method, method)
	}
	if len(m.file.Terms) != len(t.list) || m.file.Horizon < 1 || m.file.Kind != KindRate && m.file.Kind != KindFitted {
		return nil, fmt.Errorf("read model: %d terms, horizon %d: the file is damaged; train again", len(m.file.Terms), m.file.Horizon)
	}
	m.hash = hashOf(raw)
	return m, nil
}

// Encode returns the model as ReadModel reads it.
func (m *Model) Encode() ([]byte, error) { return json.MarshalIndent(m.file, "", " ") }

func hashOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Name is stored beside every score: "usage-1/prior", or the SHA-256 of a trained model's
// file.
func (m *Model) Name() string {
	if m.hash == "" {
		return method + "/prior"
	}
	return m.hash
}

// ShortName is a model's name as people read it: that of a trained one is a long hash.
func ShortName(name string) string {
	if len(name) == hex.EncodedLen(sha256.Size) {
		return name[:12]
	}
	return name
}

// Horizon is how many days the model looks ahead.
func (m *Model) Horizon() int { return m.file.Horizon }

// Reach is how many days up to the one that is scored are looked at one by one: of what lies
// before them a Past tells enough.
func (m *Model) Reach() int { return Reach(m.file.Horizon) }

// Reach is that of a model with a horizon.
func Reach(horizon int) int {
	w := windowsOf(horizon)
	return w.w + max(3*w.h, w.bins()*w.w, 2*w.h+w.w) // the longest window of a day, and a week before
}

// Population is whom the model scores: those it was trained on.
func (m *Model) Population() Population { return m.file.Population }

// Calibrated reports whether the model was fitted to the partner's own churn.
func (m *Model) Calibrated() bool { return m.file.Kind == KindFitted }

// Kind says where the coefficients come from.
func (m *Model) Kind() Kind { return m.file.Kind }

// NoSignal reports whether past churn did not follow usage: nothing gets a score then.
func (m *Model) NoSignal() bool { return m.file.NoSignal }

// Training says what the model was fitted to; zero for the prior.
func (m *Model) Training() Training { return m.file.Training }

// The bounds of a score before it is calibrated.
const (
	leastScore = .005
	mostScore  = .95
)

// probability turns a logit into what is shown, with four decimals.
func (m *Model) probability(logit float64) float64 {
	p := sigmoid(logit)
	if !m.Calibrated() {
		p = clamp(p, leastScore, mostScore)
	}
	return math.Round(p*1e4) / 1e4
}

// coefficients are the model's for a portfolio of a day: the prior takes its level from it.
func (m *Model) coefficients(s *study, d *portfolioDay) coefficients {
	if m.file.Kind == KindPrior {
		return s.cold(d)
	}
	return coefficients{terms: m.file.Terms, intercept: m.file.Intercept}
}
