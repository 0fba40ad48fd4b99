package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidemark/data"
)

// Retention says for how many days what is kept; 0 means for ever.
//
// For N days after a day, what was known of it can be read as of any time. So
//
//   - a day whose date lies more than N days back leaves the table, by a commit;
//   - a file goes from the disk when the newest version has it no more and its
//     day lies more than N days back, or it was superseded more than N days ago;
//   - a mail goes when the last report that is this mail is more than N days old.
//
// What is held stays. What goes is written into the log before it goes.
type Retention struct {
	Tables map[Table]int
	Mails  int
}

// What nothing refers to may belong to a run that still goes on; after these
// times it does not.
const (
	orphanAge    = 7 * 24 * time.Hour
	temporaryAge = 24 * time.Hour
)

// Pruned is what a prune removed, or would remove, of one table or folder.
type Pruned struct {
	What  string `json:"what"`  // a table, "mails" or "orphans"
	Days  int    `json:"days"`  // that leave the table
	Files int    `json:"files"` // that go from the disk
	Bytes int64  `json:"bytes"`
	Held  int    `json:"held"` // files that stay for a hold alone
}

// pruning is what is to be done to one table.
type pruning struct {
	Pruned
	table   Table
	removes []Part
	deleted []Deleted // recorded in the log, then deleted
}

// Prune removes what is past its retention. Without apply nothing is changed:
// what would go is returned. An archive that is not sound is not touched.
func (r *Run) Prune(ctx context.Context, keep Retention, apply bool) ([]Pruned, error) {
	if r.ended {
		return nil, errEnded
	}
	p, err := r.newPruner(ctx, keep)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	var out []Pruned
	var daily pruning
	for _, t := range []Table{Customers, Subscriptions, UsageTable, UsageDaily, UsagePast, Scores, Reports} {
		todo := p.table(t)
		switch t {
		case UsageDaily:
			daily = todo
		case UsagePast:
			if todo = p.past(daily); todo.Days+todo.Files+todo.Held == 0 {
				continue
			}
		}
		if t == Reports {
			mails, err := p.mails(ctx)
			if err != nil {
				return nil, fmt.Errorf("prune mails: %w", err)
			}
			todo.deleted = append(todo.deleted, mails.deleted...)
			out = append(out, mails.Pruned)
		}
		out = append(out, todo.Pruned)
		if apply {
			if err := r.prune(ctx, todo); err != nil {
				return out, fmt.Errorf("prune %s: %w", t, err)
			}
		}
	}
	orphans, err := r.pruneOrphans(ctx, p, apply)
	if err != nil {
		return out, fmt.Errorf("prune orphans: %w", err)
	}
	out = append(out, orphans)
	slices.SortFunc(out, func(a, b Pruned) int { return strings.Compare(a.What, b.What) })
	return out, nil
}

// pruner knows what refers to what, and what is held.
type pruner struct {
	*verifier
	keep  Retention
	now   time.Time
	holds []Hold
}

func (r *Run) newPruner(ctx context.Context, keep Retention) (*pruner, error) {
	v, err := referenced(ctx, r.archive.bucket, r.archive.opts.CheckpointEvery)
	if err != nil {
		return nil, err
	}
	// What cannot be read may refer to what then would look like left over.
	if len(v.out.Findings) > 0 {
		return nil, fmt.Errorf("%s; nothing is pruned before `tidemark archive verify --quick` finds nothing", v.out.Findings[0])
	}
	holds, err := r.archive.Holds(ctx)
	return &pruner{verifier: v, keep: keep, now: r.now(time.Time{}), holds: holds}, err
}

func (p *pruner) held(t Table, d data.Day) bool {
	return slices.ContainsFunc(p.holds, func(h Hold) bool { return h.covers(t, d) })
}

// horizon is the first day that is within n days.
func (p *pruner) horizon(n int) data.Day { return data.DayOf(p.now) - data.Day(n) }

// table plans what goes of a table.
func (p *pruner) table(t Table) pruning {
	todo := pruning{Pruned: Pruned{What: string(t)}, table: t}
	days := p.keep.Tables[t]
	if days <= 0 {
		return todo
	}
	horizon, log := p.horizon(days), p.tables[t]
	leaving := map[data.Day]bool{}
	for _, part := range log.parts {
		key := part.key(t)
		info, there := p.objects[key]
		active, old := part.to < 0, part.Day < horizon
		superseded := !active && p.now.Sub(log.entries[part.to].knownAt) > time.Duration(days)*24*time.Hour
		switch {
		case !old && !superseded:
			continue
		case p.held(t, part.Day):
			if there {
				todo.Held++
			}
			continue
		case active:
			todo.removes = append(todo.removes, part.Part)
			leaving[part.Day] = true
		}
		if p.gone[key] || !there {
			continue
		}
		todo.deleted = append(todo.deleted, Deleted{key, part.SHA256})
		todo.Files, todo.Bytes = todo.Files+1, todo.Bytes+info.Size
	}
	todo.Days = len(leaving)
	return todo
}

// past plans what goes of usage_past with days or files of usage_daily: all that there is,
// since each part comes from the first day on. The next extraction makes anew what is needed.
func (p *pruner) past(daily pruning) pruning {
	todo := pruning{Pruned: Pruned{What: string(UsagePast)}, table: UsagePast}
	if daily.Days+daily.Files == 0 {
		return todo
	}
	for _, part := range p.tables[UsagePast].parts {
		key := part.key(UsagePast)
		info, there := p.objects[key]
		if p.held(UsagePast, part.Day) {
			if there {
				todo.Held++
			}
			continue
		}
		if part.to < 0 {
			todo.removes, todo.Days = append(todo.removes, part.Part), todo.Days+1
		}
		if there && !p.gone[key] {
			todo.deleted = append(todo.deleted, Deleted{key, part.SHA256})
			todo.Files, todo.Bytes = todo.Files+1, todo.Bytes+info.Size
		}
	}
	return todo
}

// mails plans which mails go: those of no report that is younger.
func (p *pruner) mails(ctx context.Context) (pruning, error) {
	todo := pruning{Pruned: Pruned{What: string(Mails)}}
	if p.keep.Mails <= 0 {
		return todo, nil
	}
	horizon := p.horizon(p.keep.Mails)
	young, old := map[string]bool{}, map[string]bool{}
	for _, part := range p.tables[Reports].parts {
		if key := part.key(Reports); p.gone[key] {
			continue
		}
		for row, err := range tableRows(ctx, p.one(Reports, part.Part), Reports, codeReport, data.Period{From: part.Day, To: part.Day}) {
			if err != nil {
				return todo, err
			}
			switch sum := row.row.EMLSHA256; {
			case part.Day >= horizon:
				young[sum] = true
			case p.held(Reports, part.Day):
				young[sum] = true
				todo.Held++
			default:
				old[sum] = true
			}
		}
	}
	for _, sum := range sortedKeysOf(old) {
		key := Mails.key(sum)
		if info, there := p.objects[key]; there && !young[sum] && !p.gone[key] {
			todo.deleted = append(todo.deleted, Deleted{key, sum})
			todo.Files, todo.Bytes = todo.Files+1, todo.Bytes+info.Size
		}
	}
	return todo, nil
}

// prune records what goes of a table, and then deletes it.
func (r *Run) prune(ctx context.Context, todo pruning) error {
	base, err := r.archive.refresh(ctx, todo.table)
	if err != nil {
		return err
	}
	info := r.commitInfo(todo.table, Delivery{Source: "tidemark"}, "retention")
	info.Operation, info.Deleted = opPrune, todo.deleted
	always := len(todo.deleted) > 0
	if from, derived := map[Table]Table{UsageDaily: UsageTable, UsagePast: UsageDaily}[todo.table]; derived && base.version() >= 0 {
		// It goes on with the usage as that is now.
		usage, err := r.archive.refresh(ctx, from)
		if err != nil {
			return err
		}
		version := usage.version()
		info.UsageVersion = &version
		named := base.head().usage
		always = always || named == nil || *named != version
	}
	makePlan := func(s *state) (plan, error) {
		p := plan{always: always}
		for _, part := range todo.removes {
			if _, active := s.parts[part.Path]; active {
				p.removes = append(p.removes, part)
			}
		}
		return p, nil
	}
	touched := func(part Part) bool {
		return slices.ContainsFunc(todo.removes, func(p Part) bool { return p.Path == part.Path })
	}
	if _, err := r.commit(ctx, base, change{info, makePlan, touched}); err != nil {
		return err
	}
	for _, d := range todo.deleted {
		if err := r.archive.bucket.Delete(ctx, d.Key); err != nil {
			return fmt.Errorf("delete %s: %w", d.Key, err)
		}
	}
	return nil
}

// pruneOrphans deletes what nothing refers to and no run can still be at.
func (r *Run) pruneOrphans(ctx context.Context, p *pruner, apply bool) (Pruned, error) {
	out := Pruned{What: "orphans"}
	orphans, err := p.orphans(ctx)
	if err != nil {
		return out, err
	}
	for _, o := range orphans {
		age, least := p.now.Sub(o.ModTime), orphanAge
		switch {
		case p.gone[o.Key]: // a prune died before it came to delete it
			age, least = 0, 0
			if slices.ContainsFunc(p.holds, func(h Hold) bool { return h.Lifted == nil }) {
				continue // held or not: its day is not known here
			}
		case strings.HasPrefix(o.Key, Temporaries):
			least = temporaryAge
		}
		stray := !slices.Contains([]string{"quarantine", "mails", "inputs", "models", "tmp"}, folderOf(o.Key)) && !strings.HasSuffix(o.Key, ".parquet")
		if stray || age < least || o.ModTime.IsZero() && !p.gone[o.Key] {
			continue
		}
		out.Files, out.Bytes = out.Files+1, out.Bytes+o.Size
		if apply {
			err = errors.Join(err, r.archive.bucket.Delete(ctx, o.Key))
		}
	}
	return out, err
}

// one is a view of a single file of a table.
func (v *verifier) one(t Table, p Part) *View {
	return &View{archive: v.archive, states: map[Table]*state{t: {table: t, parts: map[string]Part{p.Path: p}}}}
}
