package archive

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// One log entry is a file of JSON lines, each holding one action of the Delta
// protocol:
//
//	usage/_delta_log/00000000000000000012.json
//	{"commitInfo":{"timestamp":…,"operation":"WRITE",…,"previous":"…","self":"…"}}
//	{"txn":{"appId":"tidemark/usage","version":12,…}}
//	{"remove":{"path":"usage_date=2026-11-20/part-…-0003.parquet",…}}
//	{"add":{"path":"usage_date=2026-11-20/part-…-0001.parquet",…,"stats":"…","tags":{…}}}
//
// Entry 0 also holds protocol and metaData.
type action struct {
	CommitInfo *commitInfo `json:"commitInfo,omitempty"`
	Protocol   *protocol   `json:"protocol,omitempty"`
	MetaData   *metaData   `json:"metaData,omitempty"`
	Txn        *txn        `json:"txn,omitempty"`
	Remove     *remove     `json:"remove,omitempty"`
	Add        *add        `json:"add,omitempty"`
}

// commitInfo says who committed what and chains the entries of a log: previous
// is the SHA-256 of the entry before, self the SHA-256 of this entry with self
// empty.
type commitInfo struct {
	Timestamp        int64             `json:"timestamp"` // ms, of KnownAt
	Operation        string            `json:"operation"`
	Parameters       map[string]string `json:"operationParameters"`
	EngineInfo       string            `json:"engineInfo"`
	KnownAt          string            `json:"known_at"` // µs, UTC
	Run              string            `json:"run"`
	Job              string            `json:"job,omitempty"`
	Source           string            `json:"source,omitempty"`
	RowsIn           int64             `json:"rows_in"`
	RowsOut          int64             `json:"rows_out"`
	Quarantined      int64             `json:"quarantined"`
	QuarantineSHA256 string            `json:"quarantine_sha256,omitempty"`
	UsageVersion     *int64            `json:"usage_version,omitempty"` // usage_daily: of usage; usage_past: of usage_daily
	Deleted          []Deleted         `json:"deleted,omitempty"`       // what this commit gave up for good
	Superseded       []string          `json:"superseded,omitempty"`    // usage: paths of pruned parts that it restates
	Previous         string            `json:"previous"`
	Self             string            `json:"self"` // last, so that it is easily found
}

type protocol struct {
	MinReaderVersion int `json:"minReaderVersion"`
	MinWriterVersion int `json:"minWriterVersion"`
}

type metaData struct {
	ID               string            `json:"id"`
	Format           format            `json:"format"`
	SchemaString     string            `json:"schemaString"`
	PartitionColumns []string          `json:"partitionColumns"`
	Configuration    map[string]string `json:"configuration"`
	CreatedTime      int64             `json:"createdTime"`
}

type format struct {
	Provider string            `json:"provider"`
	Options  map[string]string `json:"options"`
}

type txn struct {
	AppID       string `json:"appId"`
	Version     int64  `json:"version"`
	LastUpdated int64  `json:"lastUpdated"`
}

type remove struct {
	Path                 string            `json:"path"`
	DeletionTimestamp    int64             `json:"deletionTimestamp"`
	DataChange           bool              `json:"dataChange"`
	ExtendedFileMetadata bool              `json:"extendedFileMetadata"`
	PartitionValues      map[string]string `json:"partitionValues"`
	Size                 int64             `json:"size"`
}

type add struct {
	Path             string            `json:"path"`
	PartitionValues  map[string]string `json:"partitionValues"`
	Size             int64             `json:"size"`
	ModificationTime int64             `json:"modificationTime"`
	DataChange       bool              `json:"dataChange"`
	Stats            string            `json:"stats"`
	Tags             map[string]string `json:"tags"`
}

const knownAtForm = "2006-01-02T15:04:05.000000Z"

// newAdd returns the action that makes a written file part of a table.
func newAdd(l *layout, w written, at time.Time) (*add, error) {
	p := w.part
	stats, err := marshal(w.facts.deltaStats())
	if err != nil {
		return nil, err
	}
	sums := p.Sums
	if sums == nil {
		sums = []Sum{}
	}
	sumsText, err := marshal(sums)
	if err != nil {
		return nil, err
	}
	tags := map[string]string{
		"sha256": p.SHA256, "content_sha256": p.ContentSHA256, "rows": strconv.FormatInt(p.Rows, 10),
		"sums": string(sumsText), "feed": p.Feed.String(),
		"expected": strconv.Itoa(p.Coverage.Expected), "read": strconv.Itoa(p.Coverage.Read),
		"failed": strconv.Itoa(p.Coverage.Failed), "complete": strconv.FormatBool(p.Coverage.Complete()),
	}
	if p.BillingPeriod != "" {
		tags["billing_period"] = p.BillingPeriod
	}
	if p.FromSHA256 != "" {
		tags["from_sha256"] = p.FromSHA256
	}
	if p.Awaits != "" {
		tags["awaits"] = p.Awaits
	}
	if !p.AsOf.IsZero() {
		tags["as_of"] = p.AsOf.UTC().Format(time.RFC3339Nano)
	}
	if p.PieceSHA256 != "" {
		tags["piece_sha256"] = p.PieceSHA256
	}
	if p.SomeDays {
		tags["some_days"] = "true"
	}
	return &add{
		Path: encodePath(p.Path), PartitionValues: map[string]string{l.partition: p.Day.String()}, Size: p.Size,
		ModificationTime: at.UnixMilli(), DataChange: true, Stats: string(stats), Tags: tags,
	}, nil
}

func newRemove(l *layout, p Part, at time.Time) *remove {
	return &remove{
		Path: encodePath(p.Path), DeletionTimestamp: at.UnixMilli(), DataChange: true, ExtendedFileMetadata: true,
		PartitionValues: map[string]string{l.partition: p.Day.String()}, Size: p.Size,
	}
}

// part reads back what newAdd wrote.
func (a *add) part(l *layout) (Part, error) {
	p := Part{Size: a.Size, SHA256: a.Tags["sha256"], ContentSHA256: a.Tags["content_sha256"],
		FromSHA256: a.Tags["from_sha256"], BillingPeriod: a.Tags["billing_period"], Awaits: a.Tags["awaits"], PieceSHA256: a.Tags["piece_sha256"], SomeDays: a.Tags["some_days"] == "true"}
	var err error
	note := func(what string, e error) {
		if e != nil && err == nil {
			err = fmt.Errorf("add %q: %s: %w", a.Path, what, e)
		}
	}
	var e error
	p.Path, e = decodePath(a.Path)
	note("path", e)
	p.Day, e = data.ParseDay(a.PartitionValues[l.partition])
	note("partition value", e)
	p.Feed, e = ParseFeed(a.Tags["feed"])
	note("tag feed", e)
	p.Rows, e = strconv.ParseInt(a.Tags["rows"], 10, 64)
	note("tag rows", e)
	note("tag sums", json.Unmarshal([]byte(a.Tags["sums"]), &p.Sums))
	for tag, n := range map[string]*int{"expected": &p.Coverage.Expected, "read": &p.Coverage.Read, "failed": &p.Coverage.Failed} {
		*n, e = strconv.Atoi(a.Tags[tag])
		note("tag "+tag, e)
	}
	if at := a.Tags["as_of"]; at != "" {
		p.AsOf, e = time.Parse(time.RFC3339Nano, at)
		note("tag as_of", e)
	}
	return p, err
}

// encodePath percent-encodes a path as the Delta protocol wants it.
func encodePath(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

func decodePath(path string) (string, error) {
	decoded, err := url.PathUnescape(path)
	if err == nil && !fs.ValidPath(decoded) {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", fmt.Errorf("path %q: %w", path, err)
	}
	return decoded, nil
}

// newMetaData describes a table under an id; "" makes a new one. The retention keeps other engines' clean-up
// from deleting audit history.
func newMetaData(l *layout, id string, at time.Time) (*metaData, error) {
	schema, err := sparkSchema(l)
	if err != nil {
		return nil, err
	}
	return &metaData{
		ID: cmp.Or(id, newUUID()), Format: format{"parquet", map[string]string{}}, SchemaString: schema,
		PartitionColumns: []string{l.partition}, CreatedTime: at.UnixMilli(),
		Configuration: map[string]string{
			"delta.logRetentionDuration":         "interval 36500 days",
			"delta.deletedFileRetentionDuration": "interval 36500 days",
			"delta.enableExpiredLogCleanup":      "false",
		},
	}, nil
}

// newUUID returns a random UUID, version 4 (RFC 9562).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// sparkSchema writes a table's schema as Delta wants it, the partition column
// last.
func sparkSchema(l *layout) (string, error) {
	fields := l.arrow.Fields()
	ordered := append(fields[1:len(fields):len(fields)], fields[0])
	out := sparkSchemaOf{Type: "struct"}
	for _, f := range ordered {
		out.Fields = append(out.Fields, sparkField{Name: f.Name, Type: sparkType(f.Type), Nullable: f.Nullable})
	}
	b, err := marshal(out)
	return string(b), err
}

func sparkType(t arrow.DataType) string {
	switch kindOf(t) {
	case kindDecimal:
		return fmt.Sprintf("decimal(%d,%d)", data.Precision, data.Scale)
	case kindDate:
		return "date"
	case kindInt64:
		return "long"
	case kindInt32:
		return "integer"
	case kindBool:
		return "boolean"
	}
	return "string"
}

// marshal writes JSON on one line, with <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// encodeEntry writes a log entry and puts its own hash into it. The first
// action must be the commitInfo, with self empty.
func encodeEntry(actions []action) ([]byte, error) {
	var b []byte
	for _, a := range actions {
		line, err := marshal(a)
		if err != nil {
			return nil, err
		}
		b = append(append(b, line...), '\n')
	}
	return withSelf(b), nil
}

// errForeign says that a commit is none of ours. The error that wraps it says why.
var errForeign = errors.New("another program wrote it, or it was changed since: `tidemark archive verify` names every such commit, docs/audit.md says how to take those of other programs back")

// decodeEntry reads a log entry and checks the hash it holds of itself.
func decodeEntry(b []byte) ([]action, *commitInfo, error) {
	actions, info, err := parseActions(b)
	if err == nil {
		err = checkSelf(b, info)
	}
	if err != nil {
		return nil, nil, err
	}
	return actions, info, nil
}

// parseActions reads a log entry, of another program too; info is nil when the
// entry has none.
func parseActions(b []byte) (actions []action, info *commitInfo, err error) {
	for i, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		var a action
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, nil, fmt.Errorf("%w: line %d: %w", errLog, i+1, err)
		}
		if a.CommitInfo != nil {
			info = a.CommitInfo
		}
		if a.Protocol != nil && a.Protocol.MinReaderVersion > 1 {
			return nil, nil, fmt.Errorf("line %d: the table needs a reader of protocol version %d, this one has 1: %w", i+1, a.Protocol.MinReaderVersion, errForeign)
		}
		actions = append(actions, a)
	}
	return actions, info, nil
}

// checkSelf checks the hash that an entry holds of itself.
func checkSelf(b []byte, info *commitInfo) error {
	if info == nil || info.Self == "" {
		return fmt.Errorf("no commitInfo of tidemark with a hash: %w", errForeign)
	}
	return checkSelfHash(b, info.Self)
}

var errSelf = errors.New("its hash of itself does not match: it was changed after it was written, restore it from a copy")

// checkSelfHash checks a text that holds its own SHA-256, made while that was
// empty.
func checkSelfHash(b []byte, self string) error {
	for _, form := range []string{`"self":"`, `"self": "`} {
		at := bytes.Index(b, []byte(form+self+`"`))
		if at < 0 {
			continue
		}
		h := sha256.New()
		h.Write(b[:at+len(form)])
		h.Write(b[at+len(form)+len(self):])
		if hex.EncodeToString(h.Sum(nil)) == self {
			return nil
		}
	}
	return errSelf
}

// withSelf puts the hash of a text into its empty field self.
func withSelf(b []byte) []byte {
	for _, form := range []string{`"self":"%s"`, `"self": "%s"`} {
		if empty := fmt.Appendf(nil, form, ""); bytes.Contains(b, empty) {
			return bytes.Replace(b, empty, fmt.Appendf(nil, form, hexSum(b)), 1)
		}
	}
	return b
}
