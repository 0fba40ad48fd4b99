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
	broken  bool            // an entry is missing or unreadable: what follows from the actions is not known
	parts   []*verifiedPart // every file that was ever added
	active  map[string]*verifiedPart
	id      string
	schema  string

	replayed   *checkpointer
	hint       string // what _last_checkpoint has to say; empty for no checkpoint
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
	foreign bool  // another program added it: there is no hash
	from    int64 // first version that has it
	to      int64 // first version that lacks it, -1 for none
}

// logs reads the log of every table.
func (v *verifier) logs(ctx context.Context) error {
	for _, t := range Tables() {
		table := &verifiedTable{layout: v.archive.layouts[t], active: map[string]*verifiedPart{}, replayed: newCheckpointer()}
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
			if err := v.entry(ctx, t, table, version); err != nil {
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
		table.broken = true
		return nil
	}
	b, err := v.read(ctx, key)
	if b == nil {
		table.broken = true
		return err
	}
	v.out.Commits++
	e := &table.entries[version]
	e.sha256 = hexSum(b)
	actions, info, err := parseActions(b)
	if err != nil {
		table.broken = true
		v.found(key, "is not a log entry: %v", err)
		return nil
	}
	foreign := info == nil || info.Self == ""
	switch err := checkSelf(b, info); {
	case foreign:
		v.found(key, "is a commit of another program (%s)", operationOf(info))
	case err != nil:
		v.found(key, "%v", err)
	}
	v.chain(t, table, version, info, foreign)
	if !foreign {
		v.info(key, table, version, info)
	}
	v.actions(t, table, version, actions, foreign)
	if table.replayed.take(actions); version > 0 && version%v.CheckpointEvery == 0 && !table.broken {
		return v.checkpoint(ctx, table, version)
	}
	return nil
}

func operationOf(info *commitInfo) string {
	if info == nil {
		return "without commitInfo"
	}
	return strings.TrimSpace(info.Operation + " " + info.EngineInfo)
}

// chain compares the hash that an entry names with the entry before it. The one
// of the two that has no finding yet is named.
func (v *verifier) chain(t Table, table *verifiedTable, version int64, info *commitInfo, foreign bool) {
	want := ""
	if version > 0 {
		want = table.entries[version-1].sha256
	}
	key, before := entryKey(t, version), entryKey(t, version-1)
	if foreign || info.Previous == want || v.bad[key] || version > 0 && v.bad[before] {
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
	case version > 0 && !at.After(table.entries[version-1].knownAt):
		v.found(key, "it became known at %s, not after the entry before it", info.KnownAt)
	}
	e.knownAt = at
	if table.layout.table == UsageDaily && info.UsageVersion == nil {
		v.found(key, "it names no usage version")
	}
	for _, d := range info.Deleted {
		v.gone[d.Key] = true
	}
	if info.QuarantineSHA256 != "" {
		table.quarantine = append(table.quarantine, verifiedQuarantine{info.Run, info.QuarantineSHA256, key})
	}
}

// actions replays what an entry does.
func (v *verifier) actions(t Table, table *verifiedTable, version int64, actions []action, foreign bool) {
	key := entryKey(t, version)
	for _, a := range actions {
		switch {
		case a.MetaData != nil:
			v.metaData(key, table, a.MetaData)
		case a.Txn != nil && a.Txn.AppID == "tidemark/"+string(t) && a.Txn.Version != version && !v.bad[key]:
			v.found(key, "it is entry %d of the log", a.Txn.Version)
		case a.Remove != nil:
			path, err := decodePath(a.Remove.Path)
			if p := table.active[path]; err == nil && p != nil {
				p.to = version
				delete(table.active, path)
			} else if !table.broken && !v.bad[key] {
				v.found(key, "it removes %s, which is not part of the table", a.Remove.Path)
			}
		case a.Add != nil:
			v.add(key, table, version, a.Add, foreign)
		}
	}
	ids := map[partID]string{}
	for path, p := range table.active {
		if other, twice := ids[p.id()]; twice && !p.foreign && !table.broken {
			v.found(key, "%s and %s hold the same day, feed and billing period", path, other)
		}
		ids[p.id()] = path
	}
}

func (v *verifier) metaData(key string, table *verifiedTable, m *metaData) {
	switch {
	case table.id != "" && m.ID != table.id && !table.broken:
		v.found(key, "it gives the table another id")
	case table.schema != "" && !table.broken:
		if err := evolves(table.schema, m.SchemaString); err != nil {
			v.found(key, "%v", err)
		}
	}
	table.id, table.schema = m.ID, m.SchemaString
}

func (v *verifier) add(key string, table *verifiedTable, version int64, a *add, foreign bool) {
	part, err := a.part(table.layout)
	p := &verifiedPart{Part: part, add: a, foreign: foreign && err != nil, from: version, to: -1}
	if err != nil && !foreign {
		v.found(key, "%v", err)
	}
	if part.Path == "" {
		return // it has a finding: its path is none
	}
	if folder := table.layout.partition + "=" + part.Day.String() + "/"; err == nil && !strings.HasPrefix(part.Path, folder) {
		v.found(part.key(table.layout.table), "the log says that it is of %s", part.Day)
	}
	table.parts = append(table.parts, p)
	table.active[p.Path] = p
}
