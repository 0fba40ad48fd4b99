package fakemicrosoft_test

import (
	"bufio"
	"compress/gzip"
	"io"
	"net/http"
	"runtime"
	"testing"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// TestBlobs_StreamWithFlatMemory reads a blob of some 40,000 lines and looks at the
// heap while it comes.
func TestBlobs_StreamWithFlatMemory(t *testing.T) {
	p := NewPartner(1, Size{Customers: 50, Azure: 100, Lines: 500, Days: 9, Today: today})
	f := start(t, p, Options{Export: ExportOptions{Polls: -1}})
	tok := f.token(ResourceGraph)
	op, _ := f.export(tok, unbilled, current)
	res, err := f.http.Get(blobURLs(f.manifest(tok, op))[0])
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	zip, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, n := heap(), uint64(0), 0
	sc := bufio.NewScanner(zip)
	for ; sc.Scan(); n++ {
		if n%10000 == 9999 {
			most = max(most, heap())
		}
	}
	if sc.Err() != nil || n < 30000 {
		t.Errorf("read %d lines, %v", n, sc.Err())
	}
	if most > before+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, most)
	}
}

func BenchmarkBlob(b *testing.B) {
	p := NewPartner(1, Size{Customers: 50, Azure: 100, Lines: 1000, Days: 9, Today: today})
	c := &clock{today}
	s := NewWith(p, c.now, Options{Export: ExportOptions{Polls: -1}})
	at, err := s.Start()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	n := 0
	for l := range p.Usage.Lines(Feed{Currency: "EUR", Period: "current", Today: today}, 0) {
		_ = l
		n++
	}
	f := &fixture{Server: s, t: &testing.T{}, at: at, p: p, clock: c, http: http.DefaultClient}
	tok := f.token(ResourceGraph)
	op, _ := f.export(tok, unbilled, current)
	url := blobURLs(f.manifest(tok, op))[0]
	for b.Loop() {
		res, err := http.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "lines/s")
}
