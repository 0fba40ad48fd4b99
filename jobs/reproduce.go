package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
	"tidemark/reports/chart/raster"
	"tidemark/transform/churn"
)

// Answer is the answer to one question about a report.
type Answer struct {
	OK          bool     `json:"ok"`
	NotPromised bool     `json:"not_promised,omitempty"` // not ok, and nobody said that it would be
	Text        string   `json:"text"`
	Differences []string `json:"differences,omitempty"`
}

// Reproduction answers, years later, whether a report is what was mailed.
type Reproduction struct {
	Report    string `json:"report"`
	Recipient string `json:"recipient"`
	Role      string `json:"role"`
	Period    string `json:"period"`
	Producer  string `json:"producer"` // that built it
	Known     string `json:"known_at"`

	Sealed    Answer `json:"sealed"`    // the sealed bytes are there and have their hash
	Numbers   Answer `json:"numbers"`   // recomputed from the archived versions they are the mailed ones
	Rendering Answer `json:"rendering"` // built again, the mail has the same bytes
}

// OK reports whether no answer contradicts what was mailed or promised.
func (r Reproduction) OK() bool {
	return r.Sealed.OK && r.Numbers.OK && (r.Rendering.OK || r.Rendering.NotPromised)
}

// Maker is who makes a report again.
type Maker struct {
	Producer string           // program and version
	Charts   *raster.Renderer // nil: there are no pictures
}

// ErrNoReport says that the archive has been read and has no such report.
var ErrNoReport = fmt.Errorf("find report: %w in the archive", fs.ErrNotExist)

// FindReport returns the newest report that wanted says yes to.
func FindReport(ctx context.Context, a *archive.Archive, wanted func(data.Report) bool) (data.Report, error) {
	view, err := a.View(ctx, nil)
	if err != nil {
		return data.Report{}, err
	}
	var found *data.Report
	for row, err := range view.Reports(ctx) {
		if err != nil {
			return data.Report{}, err
		}
		if wanted(row) {
			found = &row
		}
	}
	if found == nil {
		return data.Report{}, ErrNoReport
	}
	return *found, nil
}

// Reproduce makes a report again from the versions that it was made from. given
// is the mail as somebody has it, nil when there is only the archive's. The
// error is of what keeps the questions from being asked at all.
func Reproduce(ctx context.Context, a *archive.Archive, row data.Report, given []byte, m Maker) (Reproduction, error) {
	out := Reproduction{Report: row.ReportID, Recipient: row.Recipient, Role: row.Role, Period: row.PeriodFrom.String() + ".." + row.PeriodTo.String(),
		Producer: row.Producer, Known: row.KnownAt}
	var sealed []byte
	out.Sealed, sealed = CompareSealed(ctx, a, row, given)
	again, err := Rebuild(ctx, a, row, m.Charts)
	if err != nil {
		out.Numbers = Answer{Text: "they cannot be recomputed: " + err.Error()}
		out.Rendering = Answer{Text: "the mail cannot be built again"}
		return out, nil
	}
	defer again.Portfolio.Release()
	if out.Numbers, err = numbersAnswer(row, again.Built, m.Producer); err != nil {
		return out, err
	}
	out.Rendering = renderingAnswer(row, again, sealed, m.Producer)
	return out, nil
}

// CompareSealed answers whether a mail, as somebody has it, is the one that was
// sealed, and returns the sealed bytes; nil when they are not there as they were.
// With given nil the question is only whether they are.
func CompareSealed(ctx context.Context, a *archive.Archive, row data.Report, given []byte) (Answer, []byte) {
	sealed, err := a.Kept(ctx, archive.Mails, row.EMLSHA256)
	if err != nil {
		sealed = nil
	}
	return sealedAnswer(row, sealed, err, given), sealed
}

func sealedAnswer(row data.Report, sealed []byte, err error, given []byte) Answer {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Answer{Text: fmt.Sprintf("mails/%s.eml is not in the archive", row.EMLSHA256)}
	case err != nil:
		return Answer{Text: err.Error()}
	case given == nil:
		return Answer{OK: true, Text: fmt.Sprintf("mails/%s.eml is there and has this SHA-256", row.EMLSHA256)}
	case bytes.Equal(given, sealed):
		return Answer{OK: true, Text: "the file is byte for byte the sealed mail, SHA-256 " + row.EMLSHA256}
	}
	added, differ := compareMails(given, sealed)
	if len(differ) > 0 {
		return Answer{Text: "the file is not the sealed mail", Differences: differ}
	}
	text := "the file has every header and the whole body of the sealed mail, SHA-256 " + row.EMLSHA256
	if len(added) > 0 {
		text += "; on its way it was given " + strings.Join(added, ", ")
	}
	return Answer{OK: true, Text: text}
}

// compareMails compares a mail as somebody has it with the sealed one, whatever
// the line ends: which headers it was given on its way, and what differs. A second
// header of a name that the sealed mail has differs: mail programs show one of them.
func compareMails(given, sealed []byte) (added, differ []string) {
	gotHead, gotBody := splitMail(given)
	wantHead, wantBody := splitMail(sealed)
	left, more := slices.Clone(wantHead), []string{}
	for _, h := range gotHead {
		if at := slices.Index(left, h); at >= 0 {
			left = slices.Delete(left, at, at+1)
			continue
		}
		more = append(more, h)
	}
	for _, h := range left {
		differ = append(differ, "header "+fieldName(h)+" is missing or was changed")
	}
	for _, h := range more {
		named := func(o string) bool { return strings.EqualFold(fieldName(o), fieldName(h)) }
		switch {
		case !slices.ContainsFunc(wantHead, named):
			added = append(added, fieldName(h))
		case !slices.ContainsFunc(left, named): // else it is what the header was changed to
			differ = append(differ, "a second header "+fieldName(h)+" was put in")
		}
	}
	if !bytes.Equal(bytes.TrimRight(gotBody, "\n"), bytes.TrimRight(wantBody, "\n")) {
		differ = append(differ, "the body was changed")
	}
	slices.Sort(added)
	return slices.Compact(added), differ
}

func fieldName(field string) string {
	name, _, _ := strings.Cut(field, ":")
	return strings.TrimSpace(name)
}

// splitMail returns the header fields of a mail, unfolded, and its body with
// line feeds as line ends.
func splitMail(raw []byte) (fields []string, body []byte) {
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	for line := range strings.SplitSeq(string(head), "\n") {
		if n := len(fields); n > 0 && strings.HasPrefix(line, " ") || n > 0 && strings.HasPrefix(line, "\t") {
			fields[n-1] += " " + strings.TrimSpace(line)
			continue
		}
		fields = append(fields, strings.TrimSpace(line))
	}
	return fields, body
}

func numbersAnswer(row data.Report, b Built, producer string) (Answer, error) {
	now, err := json.Marshal(b.Document)
	if err != nil {
		return Answer{}, err
	}
	differences, err := jsonDifferences([]byte(row.Document), now)
	if err != nil {
		return Answer{}, fmt.Errorf("compare numbers of report %s: %w", row.ReportID, err)
	}
	if len(differences) > 0 {
		text := fmt.Sprintf("%d numbers differ from the mailed ones", len(differences))
		if row.Producer != producer {
			text += fmt.Sprintf("; it was built by %s, this is %s: ask that version where CHANGELOG.md names other rules since", row.Producer, producer)
		}
		return Answer{Text: text, Differences: differences}, nil
	}
	return Answer{OK: true, Text: "recomputed from " + versionsText(row) + " they are the mailed ones"}, nil
}

func versionsText(row data.Report) string {
	var versions map[string]int64
	if json.Unmarshal([]byte(row.Versions), &versions) != nil {
		return row.Versions
	}
	var words []string
	for _, table := range slices.Sorted(maps.Keys(versions)) {
		words = append(words, fmt.Sprintf("%s@%d", table, versions[table]))
	}
	return strings.Join(words, ", ")
}

func renderingAnswer(row data.Report, b Rebuilt, sealed []byte, producer string) Answer {
	switch {
	case b.plain:
		return Answer{NotPromised: true, Text: "the mail has pictures, and this build has no chart script to draw them: build with `make build`"}
	case sealed == nil:
		return Answer{Text: "there are no sealed bytes to compare with"}
	case bytes.Equal(b.EML, sealed):
		return Answer{OK: true, Text: "built again the mail has the same bytes"}
	case row.Producer != producer:
		return Answer{NotPromised: true, Text: fmt.Sprintf("built again the mail has other bytes; it was built by %s, this is %s: the same bytes are promised for the same version only", row.Producer, producer)}
	}
	differ := []string{"the sealed bytes"}
	if now, err := json.Marshal(b.Digest); err == nil {
		if texts, err := jsonDifferences([]byte(row.Digest), now); err == nil && len(texts) > 0 {
			differ = texts
		}
	}
	return Answer{Text: "built again the mail has other bytes", Differences: differ}
}

// Rebuilt is a report built again. The caller must Release the portfolio.
type Rebuilt struct {
	Built
	Portfolio *reports.Portfolio
	View      *archive.View

	plain bool // it had pictures, and there is nobody to draw them
}

// Rebuild builds a report again from the versions and inputs that it names.
func Rebuild(ctx context.Context, a *archive.Archive, row data.Report, charts *raster.Renderer) (Rebuilt, error) {
	fail := func(err error) (Rebuilt, error) {
		return Rebuilt{}, fmt.Errorf("rebuild report %s: %w", row.ReportID, err)
	}
	d, req, err := rebuilder(ctx, a, row)
	if err != nil {
		return fail(err)
	}
	if req.Charts {
		d.Charts = charts
	}
	view, err := viewOf(ctx, a, row)
	if err != nil {
		return fail(err)
	}
	var model *churn.Model
	if row.Model != nil {
		if model, err = modelNamed(ctx, view, *row.Model); err != nil {
			return fail(err)
		}
	}
	spec, err := data.ParsePeriod(row.PeriodFrom.String() + ".." + row.PeriodTo.String())
	if err != nil {
		return fail(err)
	}
	if row.Previous != nil && req.PreviousSent != nil {
		before, err := FindReport(ctx, a, func(r data.Report) bool { return r.ReportID == *row.Previous && r.Recipient == row.Recipient })
		if err != nil {
			return fail(fmt.Errorf("the report before it, %s: %w", *row.Previous, err))
		}
		last, err := lastMail(before, *req.PreviousSent)
		if err != nil {
			return fail(err)
		}
		d.Last = map[string]reports.LastMail{row.Recipient: last}
	}
	if d.Portfolio, err = Load(ctx, view, Query{Period: spec, SettleDays: req.SettleDays, Model: model, Trend: true}); err != nil {
		return fail(err)
	}
	b, err := d.build(req.Recipient)
	if err == nil && b.Skipped != "" {
		err = fmt.Errorf("the recipient %s", b.Skipped)
	}
	if err != nil {
		d.Portfolio.Release()
		return fail(err)
	}
	return Rebuilt{b, d.Portfolio, view, req.Charts && charts == nil}, nil
}

// rebuilder is the Digests that a report was built by, but for the portfolio.
func rebuilder(ctx context.Context, a *archive.Archive, row data.Report) (Digests, request, error) {
	var req request
	if err := json.Unmarshal([]byte(row.Request), &req); err != nil {
		return Digests{}, req, fmt.Errorf("its request: %w", err)
	}
	d := Digests{Role: reports.Role(row.Role), Partner: req.Partner, HideMoney: req.HideMoney, From: req.From, ReplyTo: req.ReplyTo,
		Date: req.Date, Edition: int(row.Edition), Divert: req.Divert, Mailed: req.Mailed, Outcome: req.Outcome, Still: req.Still, Pages: Pages{Base: req.PageBase}, Answers: req.Answers.again(req.Recipient.Address),
		Covers: map[string][]reports.Cover{strings.ToLower(req.Recipient.Address): req.Covers}}
	if row.Recipients != nil {
		b, err := a.Kept(ctx, archive.Inputs, *row.Recipients)
		if err == nil {
			err = json.Unmarshal(b, &d.Recipients)
		}
		if err != nil {
			return d, req, fmt.Errorf("its recipients: %w", err)
		}
	}
	if row.Ownership != nil {
		b, err := a.Kept(ctx, archive.Inputs, *row.Ownership)
		if err == nil {
			d.Ownership, err = reports.ReadOwnership("ownership", bytes.NewReader(b))
		}
		if err != nil {
			return d, req, fmt.Errorf("its ownership: %w", err)
		}
	}
	return d, req, nil
}

// viewOf is the view that a report was made from.
func viewOf(ctx context.Context, a *archive.Archive, row data.Report) (*archive.View, error) {
	var versions map[archive.Table]int64
	if err := json.Unmarshal([]byte(row.Versions), &versions); err != nil {
		return nil, fmt.Errorf("its versions: %w", err)
	}
	view, err := a.ViewAt(ctx, versions)
	if err == nil && view.Seal() != row.Seal {
		err = fmt.Errorf("the archive at %s has seal %s, the report has %s: %w", versionsText(row), view.Seal(), row.Seal, archive.ErrDamaged)
	}
	return view, err
}

// jsonDifferences lists what differs between two JSON texts, by path.
func jsonDifferences(before, after []byte) ([]string, error) {
	var trees [2]any
	for i, text := range [][]byte{before, after} {
		in := json.NewDecoder(bytes.NewReader(text))
		in.UseNumber()
		if err := in.Decode(&trees[i]); err != nil {
			return nil, err
		}
	}
	return differences(nil, "", trees[0], trees[1]), nil
}

func differences(out []string, path string, before, after any) []string {
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			keys := maps.Clone(b)
			maps.Copy(keys, a)
			for _, key := range slices.Sorted(maps.Keys(keys)) {
				out = differences(out, path+"/"+key, b[key], a[key])
			}
			return out
		}
	case []any:
		if a, ok := after.([]any); ok {
			for i := range max(len(b), len(a)) {
				out = differences(out, fmt.Sprintf("%s/%d", path, i), at(b, i), at(a, i))
			}
			return out
		}
	default:
		if before == after {
			return out
		}
	}
	return append(out, fmt.Sprintf("%s: mailed %s, now %s", path, jsonText(before), jsonText(after)))
}

func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
