package focus

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"tidemark/jobs/source/flatfile"
)

// plan is what a reading of the folder takes.
type plan struct {
	files   []exported
	leftOut map[string]int // files passed over, by reason
}

// exported is one file of an export.
type exported struct {
	path     string
	name     string // path below the source's folder, with slashes
	size     int64
	rows     *int64   // rows that the manifest states for it
	manifest *counted // rows that the manifest states in all; nil for none
}

// counted compares the rows of a manifest's files with the number it states.
type counted struct {
	path  string
	want  *int64
	files int // files still to be read
	rows  int64
}

// check compares the rows read of the file with what its manifest states, and
// the rows of all files of the manifest once the last of them is read.
func (f exported) check(rows int64) error {
	if f.rows != nil && *f.rows != rows {
		return fmt.Errorf("%s: %d rows instead of the %d that its manifest states: copy the export again", f.path, rows, *f.rows)
	}
	c := f.manifest
	if c == nil {
		return nil
	}
	c.rows += rows
	c.files--
	if c.want != nil && c.files == 0 && c.rows != *c.want {
		return fmt.Errorf("%s: its files hold %d rows instead of the %d that it states: copy the export again", c.path, c.rows, *c.want)
	}
	return nil
}

// manifest is what Cost Management writes beside the files of one export run.
type manifest struct {
	Export struct {
		Name     string `json:"exportName"`
		Resource string `json:"resourceId"`
		Type     string `json:"type"`
	} `json:"exportConfig"`
	Run struct {
		Submitted string `json:"submittedTime"`
		Start     string `json:"startDate"`
	} `json:"runInfo"`
	Blobs []struct {
		Name string `json:"blobName"`
		Rows *int64 `json:"dataRowCount"`
	} `json:"blobs"`
	Rows *int64 `json:"dataRowCount"`

	dir string // folder below the root that it stands in, "." for the root
}

// key says what the run is a full copy of: one export and month. It is empty
// where the manifest does not say.
func (m *manifest) key() string {
	id := cmp.Or(m.Export.Resource, m.Export.Name)
	if id == "" || m.Run.Start == "" {
		return ""
	}
	return strings.Join([]string{strings.ToLower(id), m.Export.Type, m.Run.Start}, "|")
}

const manifestName = "manifest.json"

// plan walks the folder and decides which files count.
func (s *Source) plan() (*plan, error) {
	root := os.DirFS(s.path)
	files := map[string]bool{}
	manifests := map[string]*manifest{} // by folder
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
		case strings.EqualFold(d.Name(), manifestName):
			m, err := s.readManifest(root, name)
			if err != nil {
				return err
			}
			manifests[m.dir] = m
		case flatfile.Form(name) != "":
			files[name] = true
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder %s does not exist: set the source's path to the folder with the exports", s.path)
	}
	if err != nil {
		return nil, err
	}
	p := &plan{leftOut: map[string]int{}}
	if err := s.listed(p, manifests, files); err != nil {
		return nil, err
	}
	for name := range files {
		if governed(manifests, name) {
			continue
		}
		if err := s.add(p, exported{name: name}); err != nil {
			return nil, err
		}
	}
	if len(p.files) == 0 && len(manifests) == 0 {
		return nil, fmt.Errorf("folder %s holds no export: put .csv, .csv.gz or .parquet files there", s.path)
	}
	slices.SortFunc(p.files, func(a, b exported) int { return cmp.Compare(a.name, b.name) })
	return p, nil
}

func (s *Source) readManifest(root fs.FS, name string) (*manifest, error) {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	m := &manifest{dir: path.Dir(name)}
	if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")), m); err != nil {
		return nil, fmt.Errorf("%s: not a manifest (%w): copy it again, or remove it to read every file of the folder", s.full(name), err)
	}
	return m, nil
}

// listed adds the files that manifests list, and tells what is passed over.
func (s *Source) listed(p *plan, manifests map[string]*manifest, files map[string]bool) error {
	newest := newestRuns(manifests)
	taken, older := map[string]bool{}, map[string]bool{}
	for _, dir := range slices.Sorted(maps.Keys(manifests)) {
		m := manifests[dir]
		where := s.full(path.Join(dir, manifestName))
		current := m.key() == "" || newest[m.key()] == m
		count := &counted{path: where, want: m.Rows, files: len(m.Blobs)}
		for _, b := range m.Blobs {
			name, found := m.find(b.Name, files)
			switch {
			case !current:
				older[name] = found
			case !found:
				return fmt.Errorf("%s: lists %q, which is not there: copy it as well, or remove the manifest", where, flatfile.Shorten(b.Name))
			case taken[name]:
				return fmt.Errorf("%s: lists %q, which is listed already: copy the export again", where, name)
			default:
				taken[name] = true
				if err := s.add(p, exported{name: name, rows: b.Rows, manifest: count}); err != nil {
					return err
				}
			}
		}
	}
	for name := range files {
		switch {
		case taken[name]:
		case older[name]:
			p.leftOut["file of an older run of its export"]++
		case governed(manifests, name):
			p.leftOut["file that its manifest does not list"]++
		}
	}
	return nil
}

// newestRuns returns the newest run of each export and month.
func newestRuns(manifests map[string]*manifest) map[string]*manifest {
	newest := map[string]*manifest{}
	for _, dir := range slices.Sorted(maps.Keys(manifests)) {
		m := manifests[dir]
		if n := newest[m.key()]; n == nil || n.Run.Submitted <= m.Run.Submitted {
			newest[m.key()] = m
		}
	}
	return newest
}

// find returns the file that a manifest means by a blob's name: the longest end
// of it that exists below the manifest's folder, else the whole below the root.
func (m *manifest) find(blob string, files map[string]bool) (string, bool) {
	for rest := blob; ; {
		if name := path.Join(m.dir, rest); files[name] {
			return name, true
		}
		var deeper bool
		if _, rest, deeper = strings.Cut(rest, "/"); !deeper {
			break
		}
	}
	name := path.Clean(blob)
	return name, files[name]
}

// governed reports whether a manifest stands in the file's folder or above it.
func governed(manifests map[string]*manifest, name string) bool {
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if manifests[dir] != nil {
			return true
		}
		if dir == "." {
			return false
		}
	}
}

func (s *Source) add(p *plan, f exported) error {
	f.path = s.full(f.name)
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	f.size = info.Size()
	p.files = append(p.files, f)
	return nil
}

func (s *Source) full(name string) string { return filepath.Join(s.path, filepath.FromSlash(name)) }
