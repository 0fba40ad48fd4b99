package focus

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/jobs/source/flatfile"
)

const manifestName = "manifest.json"

// maxManifest bounds what is read of a manifest.
const maxManifest = 32 << 20

// manifest is what Cost Management writes beside the files of one export run.
type manifest struct {
	Export struct {
		Name     string `json:"exportName"`
		Resource string `json:"resourceId"`
		Type     string `json:"type"`
	} `json:"exportConfig"`
	Run struct {
		ID        string `json:"runId"`
		Submitted string `json:"submittedTime"`
		Start     string `json:"startDate"`
		End       string `json:"endDate"`
	} `json:"runInfo"`
	Blobs []struct {
		Name  string `json:"blobName"`
		Bytes *int64 `json:"byteCount"`
		Rows  *int64 `json:"dataRowCount"`
	} `json:"blobs"`
	Count *int   `json:"blobCount"`
	Rows  *int64 `json:"dataRowCount"`
}

// run is one run of an export: a full copy of one scope and month.
type run struct {
	manifest
	dir   string // folder that the manifest stands in, "." for the root
	place string // of the manifest, for messages

	scope     string     // what the export covers, in lower case; empty where the manifest does not say
	submitted time.Time  // zero where it does not say
	month     data.Day   // its first day; 0 where it does not say
	odd       string     // why its dates are not those of a month; empty when they are
	files     []exported // in the manifest's order, as far as they are there
	unready   string     // why it cannot be read as a whole; empty when it can
}

// key says what the run is a full copy of: one scope and month. It is empty
// where the manifest does not say.
func (r *run) key() string {
	if id := cmp.Or(r.scope, r.Export.Name); id != "" && r.month != 0 {
		return keyOf(id, period(r.month))
	}
	return ""
}

func keyOf(scope, period string) string { return strings.ToLower(scope) + "|" + period }

// isNone reports whether what was read is no manifest of an export, but a file that happens to
// have that name.
func (r *run) isNone() bool {
	return r.unready == "" && r.Export.Resource == "" && r.Export.Name == "" && r.Run.Start == "" && r.Run.ID == "" && len(r.Blobs) == 0 && r.Rows == nil
}

// describe names the run for messages.
func (r *run) describe() string {
	at := "of unknown time"
	if !r.submitted.IsZero() {
		at = "of " + stamp(r.submitted)
	}
	return fmt.Sprintf("%s (run %s)", r.place, at)
}

const exportsBelow = "/providers/microsoft.costmanagement/exports/"

// scopeOf returns what an export covers of the id of the export.
func scopeOf(resource string) string {
	id := data.CleanID(resource)
	if at := strings.LastIndex(id, exportsBelow); at >= 0 {
		id = id[:at]
	}
	if id = strings.Trim(id, "/"); id == "" {
		return ""
	}
	return "/" + id
}

// customerOf returns the customer that a scope is about, "" for a wider scope.
func customerOf(scope string) string {
	_, after, found := strings.Cut(scope, "/customers/")
	if !found {
		return ""
	}
	id, _, _ := strings.Cut(after, "/")
	return id
}

// readRun reads a manifest. What is no manifest, as one that is still being
// written, makes a run that is not ready.
func (s *Source) readRun(ctx context.Context, o object) (*run, error) {
	r := &run{dir: path.Dir(o.name), place: s.store.place(o.name)}
	in, err := s.store.open(ctx, o)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(in, maxManifest))
	if err := errors.Join(err, in.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", r.place, err)
	}
	if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")), &r.manifest); err != nil {
		r.manifest = manifest{}
		r.unready = fmt.Sprintf("not a manifest (%v): copy it again, or remove its folder", err)
		return r, nil
	}
	r.scope = scopeOf(r.Export.Resource)
	if at, err := time.Parse(time.RFC3339, zoned(r.Run.Submitted)); err == nil {
		r.submitted = at
	}
	r.dates()
	return r, nil
}

// zoned adds the zone that some times lack: they are in UTC.
func zoned(t string) string {
	if len(t) > len(time.DateOnly) && !strings.HasSuffix(t, "Z") && !strings.ContainsAny(t[len(time.DateOnly):], "+-") {
		return t + "Z"
	}
	return t
}

// dates reads which month the run is of.
func (r *run) dates() {
	if r.Run.Start == "" {
		return
	}
	first, err := dayOf(r.Run.Start)
	if err != nil {
		r.odd = fmt.Sprintf("its startDate %q is no date", flatfile.Shorten(r.Run.Start))
		return
	}
	month := data.DayOf(time.Date(first.Time().Year(), first.Time().Month(), 1, 0, 0, 0, 0, time.UTC))
	next := data.DayOf(month.Time().AddDate(0, 1, 0))
	last := first
	if r.Run.End != "" {
		if last, err = dayOf(r.Run.End); err != nil {
			r.odd = fmt.Sprintf("its endDate %q is no date", flatfile.Shorten(r.Run.End))
			return
		}
	}
	if first != month || last < first || last > next {
		r.odd = fmt.Sprintf("it is of %s to %s", first, last)
		return
	}
	r.month = month
}

// dayOf reads the date that a time begins with.
func dayOf(t string) (data.Day, error) { return data.ParseDay(t[:min(len(t), len(time.DateOnly))]) }

// resolve finds the run's files among those that are there. Sizes of gzip files
// are compared only where gzipSizes says that manifests state those.
func (r *run) resolve(files map[string]object, gzipSizes bool) {
	if r.unready != "" {
		return
	}
	count := &counted{place: r.place, want: r.Rows, files: len(r.Blobs)}
	listed := map[string]bool{}
	for _, b := range r.Blobs {
		o, found := r.find(b.Name, files)
		gz := strings.HasSuffix(strings.ToLower(o.name), ".gz")
		switch {
		case !found:
			r.note("lists %q, which is not there", flatfile.Shorten(b.Name))
			continue
		case listed[o.name]:
			r.note("lists %q, which is listed already", o.name)
		case b.Bytes != nil && *b.Bytes != o.size && (gzipSizes || !gz):
			r.note("lists %q with %d bytes, it has %d", o.name, *b.Bytes, o.size)
		}
		listed[o.name] = true
		r.files = append(r.files, exported{object: o, run: r, rows: b.Rows, manifest: count})
	}
	if r.Count != nil && *r.Count != len(r.Blobs) {
		r.note("lists %d files instead of the %d that it counts", len(r.Blobs), *r.Count)
	}
}

func (r *run) note(format string, args ...any) {
	if r.unready == "" {
		r.unready = fmt.Sprintf(format, args...)
	}
}

// statesGzipSizes reports whether manifests state the sizes of gzip files as they
// lie there: what byteCount means for them is not documented, so that it is
// believed once one file agrees with it.
func statesGzipSizes(runs []*run, files map[string]object) bool {
	for _, r := range runs {
		for _, b := range r.Blobs {
			o, found := r.find(b.Name, files)
			if found && b.Bytes != nil && *b.Bytes == o.size && strings.HasSuffix(strings.ToLower(o.name), ".gz") {
				return true
			}
		}
	}
	return false
}

// find returns the file that a manifest means by a blob's name: the longest end
// of it that exists below the manifest's folder, else the whole below the root.
func (r *run) find(blob string, files map[string]object) (object, bool) {
	for rest := blob; ; {
		if o, found := files[path.Join(r.dir, rest)]; found {
			return o, true
		}
		var deeper bool
		if _, rest, deeper = strings.Cut(rest, "/"); !deeper {
			break
		}
	}
	o, found := files[path.Clean(blob)]
	return o, found
}
