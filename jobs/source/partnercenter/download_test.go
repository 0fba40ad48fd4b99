package partnercenter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// sameAnswer answers an operation that is done as it was answered first, with the
// signature that stands in it.
type sameAnswer struct {
	done    map[string][]byte
	noBlobs bool // as long as no blob can be had
}

func (a *sameAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.noBlobs && strings.Contains(r.URL.Path, "/export/") {
		return nil, errors.New("connection reset")
	}
	if b := a.done[r.URL.Path]; b != nil {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(b)), Request: r}, nil
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.Contains(r.URL.Path, "/operations/") {
		return resp, err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(b))
	if bytes.Contains(b, []byte("succeeded")) {
		a.done[r.URL.Path] = b
	}
	return resp, err
}

// TestUsage_ASignatureThatEndedHasTheExportOrderedAnew goes on with an export whose
// signature is over and does not change.
func TestUsage_ASignatureThatEndedHasTheExportOrderedAnew(t *testing.T) {
	s := newSide(t, handMade(line(nil)), fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Inline: true, SASLife: time.Hour}})
	remote := &sameAnswer{done: map[string][]byte{}, noBlobs: true}
	s.options.Transport = remote
	if _, err := s.tryUsage(); err == nil {
		t.Fatal("no error without blobs")
	}
	remote.noBlobs = false
	s.clock.at = s.clock.at.Add(4 * time.Hour)
	if rows, err := s.tryUsage(); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestUsage_AnExportThatIsGoneIsOrderedAnew loses each export that is asked for, the
// second one, too, which stands in for the first.
func TestUsage_AnExportThatIsGoneIsOrderedAnew(t *testing.T) {
	s := newSide(t, handMade(line(nil)), fakemicrosoft.Options{})
	s.server.Script(fakemicrosoft.Fault{Name: "gone", Host: fakemicrosoft.Graph, Path: "/operations/", Status: 404, Code: "itemNotFound", Every: 1})
	if _, err := s.tryUsage(); !errors.Is(err, errEnded) {
		t.Fatalf("err = %v", err)
	}
	s.server.ClearScript()
	s.server.Script(fakemicrosoft.Fault{Name: "gone", Host: fakemicrosoft.Graph, Path: "/operations/op-000[12]", Status: 404, Code: "itemNotFound", Every: 1})
	if rows, err := s.tryUsage(); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestUsage_AManifestThatIsNotWhole is refused, and the export ordered anew by the
// next run: it must not pass for one without usage.
func TestUsage_AManifestThatIsNotWhole(t *testing.T) {
	cut := func(old, now string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(now), 1) }
	}
	for name, edit := range map[string]func([]byte) []byte{
		"does not list its blobs":               cut(`"blobs":`, `"parts":`),
		"states 7 blobs and lists 1":            cut(`"blobCount":1`, `"blobCount":7`),
		"rootDirectory is not an address":       cut(`"rootDirectory":`, `"root":`),
		"blobs, so nobody knows whether there ": cut(`"blobCount":1,"blobs":`, `"parts":`),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSide(t, handMade(line(nil)), fakemicrosoft.Options{})
			s.server.Script(fakemicrosoft.Fault{Name: "manifest", Host: fakemicrosoft.Graph, Path: "/manifests/mf-0002", Edit: edit, Every: 1})
			if rows, err := s.tryUsage(); err == nil || !strings.Contains(err.Error(), name) {
				t.Fatalf("%d rows, err = %v", rows, err)
			}
			if rows, err := s.tryUsage(); err != nil || rows != 1 {
				t.Errorf("the next run: %d rows, %v", rows, err)
			}
		})
	}
}

// TestUsage_AnExportThatNeverEndsIsOrderedAnew has the first one run for ever.
func TestUsage_AnExportThatNeverEndsIsOrderedAnew(t *testing.T) {
	s := newSide(t, handMade(line(nil)), fakemicrosoft.Options{})
	s.server.Script(fakemicrosoft.Running(1000000).On(fakemicrosoft.Graph, "/export").At(1))
	if _, err := s.tryUsage(); err == nil || !strings.Contains(err.Error(), "still running after 30m0s: run again later") {
		t.Fatalf("err = %v", err)
	}
	if rows, err := s.tryUsage(); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestUsage_ABlobThatIsListedTwice must not count twice.
func TestUsage_ABlobThatIsListedTwice(t *testing.T) {
	for name, as := range map[string]string{"by the same name": "", "by another way": "./"} {
		t.Run(name, func(t *testing.T) {
			s := newSide(t, handMade(line(nil)), fakemicrosoft.Options{})
			s.server.Script(fakemicrosoft.Fault{Name: "twice", Host: fakemicrosoft.Graph, Path: "/manifests/", Every: 1, Edit: func(b []byte) []byte {
				var m map[string]any
				if err := json.Unmarshal(b, &m); err != nil {
					t.Error(err)
				}
				blobs := m["blobs"].([]any)
				again := maps.Clone(blobs[0].(map[string]any))
				again["name"] = as + again["name"].(string)
				m["blobs"] = append(blobs, again)
				m["blobCount"] = len(blobs) + 1
				b, err := json.Marshal(m)
				if err != nil {
					t.Error(err)
				}
				return b
			}})
			if rows, err := s.tryUsage(); err == nil || !strings.Contains(err.Error(), "twice, so its usage would count twice") {
				t.Errorf("%d rows, err = %v", rows, err)
			}
			s.server.ClearScript()
			if rows, err := s.tryUsage(); err != nil || rows != 1 {
				t.Errorf("%d rows, %v", rows, err)
			}
		})
	}
}
