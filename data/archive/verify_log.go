package archive

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// verifiedTable is what the log of a table says.
type verifiedTable struct {
	layout  *layout
	entries []verifiedEntry // by version
	doubted bool            // an entry is missing or not what it was: what follows from the actions is no evidence
	knownAt time.Time       // of the newest entry that says
	parts   []*verifiedPart // every file that was ever added
	byPath  map[string]*verifiedPart
	active  map[partID]*verifiedPart
	id      string
	schema  string

	replayed   *checkpointer
	hints      []string // what _last_checkpoint may say
	hintDue    bool     // a run finished after it wrote a checkpoint
	quarantine []verifiedQuarantine
}

// verifiedQuarantine is a quarantine file that an entry names.
type verifiedQuarantine struct{ run, sha256, entry string }

// verifiedEntry is one log entry; the zero entry is one that is missing.
type verifiedEntry struct {
	sha256  string
	run     string
	knownAt time.Time
	usage   *int64
}

// verifiedPart is a file with the versions it was part of the table.
type verifiedPart struct {
	Part
	add     *add
	entry   string // that added it
	foreign bool   // another program added it: there is no hash
	from    int64  // first version that has it
	to      int64  // first version that lacks it, -1 for none
}

// logs reads the log of every table.
func (v *verifier) logs(ctx context.Context) error {
	for _, t := range Tables() {
		table := &verifiedTable{layout: v.archive.layouts[t], byPath: map[string]*verifiedPart{}, active: map[partID]*verifiedPart{}, replayed: newCheckpointer()}
		v.tables[t] = table
		last := int64(-1)
		for _, key := range v.below(logFolder(t)) {
			var n int64
			if isEntry(key) {
				if _, err := fmt.Sscanf(key[len(logFolder(t)):], "%d.json", &n); err == nil && n < 1<<40 {
					last = max(last, n)
				}
			}
		}
		for version := range last + 1 {
			if len(table.entries) != int(version) { // a number far beyond the others
				break
			}
			err := v.guarded(entryKey(t, version), func() error { return v.entry(ctx, t, table, version) })
			if err != nil {
				return err
			}
			if missing := table.entries[version].sha256 == ""; missing && version+maxGap < last && !v.followed(t, version) {
				table.entries = table.entries[:version]
				break
			}
		}
	}
	return nil
}

// maxGap bounds how many missing entries are named one by one.
const maxGap = 1000

// followed reports whether an entry comes within maxGap after a version.
func (v *verifier) followed(t Table, version int64) bool {
	for n := version + 1; n <= version+maxGap; n++ {
		if _, found := v.objects[entryKey(t, n)]; found {
			return true
		}
	}
	return false
}

// entry checks one log entry and takes it in.
func (v *verifier) entry(ctx context.Context, t Table, table *verifiedTable, version int64) error {
	key := entryKey(t, version)
	table.entries = append(table.entries, verifiedEntry{})
	if !v.there(key, "later entries of the log are there") {
		return nil
	}
	b, err := v.read(ctx, key)
	if b == nil {
		return err
	}
	v.out.Commits++
	table.entries[version].sha256 = hexSum(b)
	actions, info, err := parseActions(b)
	if err != nil {
		v.found(key, "is not a log entry: %v", err)
		return nil
	}
	ours, here := v.place(key, t, version, actions)
	if !here {
		return nil // what it does is of another log
	}
	foreign := !ours && (info == nil || info.Self == "")
	switch {
	case foreign && info == nil: // or whatever else is JSON
		v.found(key, "is a commit of another program (without commitInfo)")
	case foreign:
		v.note(key, "is a commit of another program (%s)", strings.TrimSpace(info.Operation+" "+info.EngineInfo))
	case info == nil || info.Self == "":
		v.found(key, "has no hash of itself: it was changed after it was written")
	default:
		if err := checkSelf(b, info); err != nil {
			v.found(key, "%v", err)
		}
	}
	if info != nil && !foreign {
		v.chain(t, table, version, info)
		v.info(key, table, version, info)
	}
	v.actions(key, table, version, actions, foreign)
	if info != nil && !foreign {
		v.gaveUp(key, table, info.Deleted)
	}
	table.replayed.take(actions)
	return v.checkpoint(ctx, table, version)
}

// place reports whether an entry is of this program, by the version of its log
// that it then has, and whether it is where that says; if not, that is a finding.
func (v *verifier) place(key string, t Table, version int64, actions []action) (ours, here bool) {
	for _, a := range actions {
		if a.Txn == nil {
			continue
		}
		if of, found := strings.CutPrefix(a.Txn.AppID, "tidemark/"); found {
			if of != string(t) || a.Txn.Version != version {
				v.found(key, "it is entry %d of %s", a.Txn.Version, of)
				return true, false
			}
			ours = true
		}
	}
	return ours, true
}

// chain compares the hash that an entry names with the entry before it. The one
// of the two that has no finding yet is named.
func (v *verifier) chain(t Table, table *verifiedTable, version int64, info *commitInfo) {
	want := ""
	if version > 0 {
		want = table.entries[version-1].sha256
	}
	key, before := entryKey(t, version), entryKey(t, version-1)
	if info.Previous == want || v.bad[key] || version > 0 && v.bad[before] {
		return
	}
	if version == 0 {
		v.found(key, "names an entry before it, and is the first")
		return
	}
	v.found(before, "its SHA-256 is %.16s…, the entry after it has %.16s…: one of the two was replaced", want, info.Previous)
}

// info checks and takes in what an entry says about itself.
func (v *verifier) info(key string, table *verifiedTable, version int64, info *commitInfo) {
	e := &table.entries[version]
	e.run, e.usage = info.Run, info.UsageVersion
	at, err := time.Parse(knownAtForm, info.KnownAt)
	switch {
	case err != nil:
		v.found(key, "known_at: %v", err)
	case !at.After(table.knownAt):
		v.found(key, "it became known at %s, not after the entry before it", info.KnownAt)
		e.knownAt = at
	default:
		e.knownAt, table.knownAt = at, at
	}
	if t := table.layout.table; (t == UsageDaily || t == UsagePast) && info.UsageVersion == nil {
		v.found(key, "it names no usage version")
	}
	if info.QuarantineSHA256 != "" {
		table.quarantine = append(table.quarantine, verifiedQuarantine{info.Run, info.QuarantineSHA256, key})
	}
}

// actions replays what an entry does. What it removes goes before what it adds
// comes, in whatever order they stand.
func (v *verifier) actions(key string, table *verifiedTable, version int64, actions []action, foreign bool) {
	for _, a := range actions {
		switch {
		case a.MetaData != nil:
			v.metaData(key, table, a.MetaData)
		case a.Remove != nil:
			v.remove(key, table, version, a.Remove)
		}
	}
	for _, a := range actions {
		if a.Add != nil {
			v.add(key, table, version, a.Add, foreign)
		}
	}
}

func (v *verifier) remove(key string, table *verifiedTable, version int64, r *remove) {
	path, err := decodePath(r.Path)
	p := table.byPath[path]
	if err != nil || p == nil || p.to >= 0 {
		if !table.doubted {
			v.found(key, "it removes %s, which is not part of the table", r.Path)
		}
		return
	}
	p.to = version
	if table.active[p.id()] == p {
		delete(table.active, p.id())
	}
}

func (v *verifier) metaData(key string, table *verifiedTable, m *metaData) {
	switch {
	case table.id != "" && m.ID != table.id && !table.doubted:
		v.found(key, "it gives the table another id")
	case table.schema != "" && !table.doubted:
		if err := evolves(table.schema, m.SchemaString); err != nil {
			v.found(key, "%v", err)
		}
	}
	table.id, table.schema = m.ID, m.SchemaString
}

func (v *verifier) add(key string, table *verifiedTable, version int64, a *add, foreign bool) {
	part, err := a.part(table.layout)
	p := &verifiedPart{Part: part, add: a, entry: key, foreign: foreign && err != nil, from: version, to: -1}
	if err != nil && !foreign {
		v.found(key, "%v", err)
	}
	if part.Path == "" {
		return // it has a finding: its path is none
	}
	if folder := table.layout.partition + "=" + part.Day.String() + "/"; err == nil && !strings.HasPrefix(part.Path, folder) {
		v.foundIn(table.layout.table, p, "the log says that it is of %s", part.Day)
	}
	if twin := table.byPath[p.Path]; twin != nil && twin.to < 0 && !table.doubted {
		v.found(key, "it adds %s, which is part of the table already", p.Path)
	} else if other := table.active[p.id()]; other != nil && !p.foreign && !table.doubted {
		v.found(key, "it adds %s, and %s holds the same day, feed and billing period", p.Path, other.Path)
	}
	table.parts = append(table.parts, p)
	table.byPath[p.Path] = p
	if !p.foreign {
		table.active[p.id()] = p
	}
}

// gaveUp takes in which files a commit gave up for good: their absence is no
// finding. Nothing but data files of the table that are no part of it any more,
// and mails, may go that way.
func (v *verifier) gaveUp(key string, table *verifiedTable, deleted []Deleted) {
	t, doubted := table.layout.table, table.doubted
	for _, d := range deleted {
		path, below := strings.CutPrefix(d.Key, string(t)+"/")
		p := table.byPath[path]
		switch {
		case t == Reports && d.Key == Mails.key(d.SHA256):
		case doubted && below && !strings.HasPrefix(d.Key, logFolder(t)):
		case !below || p == nil || p.SHA256 != d.SHA256:
			v.found(key, "it gives up %s, which is no file that the table had", d.Key)
			continue
		case p.to < 0:
			v.found(key, "it gives up %s, which is part of the table", d.Key)
			continue
		}
		v.gone[d.Key] = true
	}
}
