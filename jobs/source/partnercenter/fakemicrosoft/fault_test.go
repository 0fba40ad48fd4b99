package fakemicrosoft_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

func TestScript_ChoosesRequests(t *testing.T) {
	cases := []struct {
		name   string
		faults []Fault
		want   []int
	}{
		{"the next, once", []Fault{TooMany(1)}, []int{429, 200, 200, 200, 200, 200}},
		{"two in order", []Fault{TooMany(1), Failing(503)}, []int{429, 503, 200, 200, 200, 200}},
		{"the third", []Fault{Failing(500).At(3)}, []int{200, 200, 500, 200, 200, 200}},
		{"from the third, twice", []Fault{Failing(500).At(3).Repeated(2)}, []int{200, 200, 500, 500, 200, 200}},
		{"every second", []Fault{Failing(502).EveryNth(2)}, []int{200, 502, 200, 502, 200, 502}},
		{"every second, once", []Fault{Failing(502).EveryNth(2).Repeated(1)}, []int{200, 502, 200, 200, 200, 200}},
		{"always", []Fault{Failing(504).Repeated(-1)}, []int{504, 504, 504, 504, 504, 504}},
		{"another path", []Fault{Failing(500).On(API, "/subscriptions")}, []int{200, 200, 200, 200, 200, 200}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, nil, Options{})
			tok := f.token(ResourceAPI)
			f.Script(c.faults...)
			var got []int
			for range c.want {
				got = append(got, f.get(f.at.API+"/v1/customers?size=2", tok).status)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if pending := f.Pending(); (len(pending) > 0) != (c.name == "another path") {
				t.Errorf("pending %v", pending)
			}
		})
	}
}

func TestFaults_ReplaceTheAnswer(t *testing.T) {
	cases := []struct {
		fault  Fault
		status int
		after  string
		part   string
	}{
		{TooMany(57), 429, "57", `"message":"Rate limit is exceeded. Try again in 57 seconds.","statusCode":429}`},
		{TooManyUntil(15 * time.Minute), 429, "Tue, 10 Feb 2026 06:15:00 GMT", ""},
		{NumberCode(400, 2000), 400, "", `"code":2000,`},
		{NoContent(30).On(API, ""), 204, "30", ""},
		{NoContentUntil(15*time.Minute).On(API, ""), 204, "Tue, 10 Feb 2026 06:15:00 GMT", ""},
		{ExpiredToken(), 401, "", `"code":"400"`},
		{NoMFA(), 401, "", `"code":"900421"`},
		{Refused(403, "20002"), 403, "", `"code":"20002"`},
	}
	for _, c := range cases {
		t.Run(c.fault.Name, func(t *testing.T) {
			f := start(t, nil, Options{})
			tok := f.token(ResourceAPI)
			f.Script(c.fault)
			a := f.get(f.at.API+"/v1/customers?size=2", tok)
			wantStatus(t, a, c.status, c.part)
			if got := a.header.Get("Retry-After"); got != c.after {
				t.Errorf("Retry-After %q, want %q", got, c.after)
			}
			if c.status == 204 && a.body != "" {
				t.Errorf("204 with the body %q", a.body)
			}
			if q := f.Requests()[1]; q.Fault != c.fault.Name || q.Status != c.status || q.Path != "/v1/customers" || q.Query != "size=2" {
				t.Errorf("logged %+v", q)
			}
		})
	}
}

func TestFaults_BreakTheConnection(t *testing.T) {
	f := start(t, nil, Options{})
	tok := f.token(ResourceAPI)
	whole := f.get(f.at.API+"/v1/customers?size=2", tok)
	f.Script(Dropped(), CutAt(100), Slow(7, nil))
	if a, err := f.try("GET", f.at.API+"/v1/customers?size=2", tok, ""); err == nil {
		t.Errorf("dropped: got %d", a.status)
	}
	a := f.get(f.at.API+"/v1/customers?size=2", tok)
	if a.body != whole.body[:100] || !errors.Is(a.err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: got %d bytes and %v", len(a.body), a.err)
	}
	if a := f.get(f.at.API+"/v1/customers?size=2", tok); a.body != whole.body || a.err != nil {
		t.Errorf("slow: got %d bytes and %v", len(a.body), a.err)
	}
}

func TestFaults_WaitAtTheGate(t *testing.T) {
	f := start(t, nil, Options{})
	tok := f.token(ResourceAPI)
	gate := make(chan struct{})
	f.Script(Slow(100, gate))
	done := make(chan answer, 1)
	go func() {
		a, _ := f.try("GET", f.at.API+"/v1/customers?size=1", tok, "")
		done <- a
	}()
	gate <- struct{}{}
	select {
	case <-done:
		t.Error("the body came whole through a gate that opened once")
	default:
	}
	close(gate)
	wantStatus(t, <-done, 200, `"items"`)
}

func TestFaults_ChangePages(t *testing.T) {
	cases := []struct {
		fault Fault
		check func(a answer, o map[string]any) error
	}{
		{BOM(), func(a answer, _ map[string]any) error {
			return when(!strings.HasPrefix(a.body, "\xef\xbb\xbf{"), a.body)
		}},
		{UnknownField(), func(a answer, o map[string]any) error { return when(first(o)["somethingNew"] == nil, a.body) }},
		{MissingField("companyProfile"), func(a answer, o map[string]any) error {
			return when(first(o)["companyProfile"] != nil || first(o)["id"] == nil, a.body)
		}},
		{UnknownStatus("resting").On(API, ""), func(a answer, o map[string]any) error { return when(first(o)["status"] != "resting", a.body) }},
	}
	for _, c := range cases {
		t.Run(c.fault.Name, func(t *testing.T) {
			f := start(t, nil, Options{})
			tok := f.token(ResourceAPI)
			f.Script(c.fault)
			a := f.get(f.at.API+"/v1/customers?size=2", tok)
			if err := c.check(a, a.object(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func first(o map[string]any) map[string]any { return o["items"].([]any)[0].(map[string]any) }

func when(bad bool, got string) error {
	if !bad {
		return nil
	}
	return fmt.Errorf("got %.300q", got)
}

func TestFaults_DuplicateAndReorderPagesLoseNothing(t *testing.T) {
	f := start(t, nil, Options{})
	tok := f.token(ResourceAPI)
	want, _ := f.allCustomers(tok, "3")
	f.Script(DuplicatePage())
	got, _ := f.allCustomers(tok, "3")
	if !slices.Equal(got, slices.Concat(want[:3], want[:3], want[3:])) {
		t.Errorf("duplicate page: got %d ids", len(got))
	}
	f.Script(ReorderedPage())
	got, _ = f.allCustomers(tok, "3")
	slices.Reverse(want[:3])
	if !slices.Equal(got, want) {
		t.Errorf("reordered page: got %q, want %q", got, want)
	}
}

func TestByName_KnowsEachFaultOnce(t *testing.T) {
	if names := FaultNames(); len(names) != 27 {
		t.Errorf("got %d names, want 27: %q", len(names), names)
	}
}

func TestFaults_SpeakAsTheirHostDoes(t *testing.T) {
	f := start(t, nil, Options{})
	tok := f.token(ResourceGraph)
	f.Script(Refused(403, "900150").On(Graph, ""), TooMany(3).On(Graph, ""), ExpiredToken().On(Graph, ""), Failing(503).On(Blob, ""), Failing(503).On(Login, ""))
	wantStatus(t, f.get(f.at.Graph+"/v1.0/x", tok), 403, `{"error":{"code":"Authorization_RequestDenied",`)
	wantStatus(t, f.get(f.at.Graph+"/v1.0/x", tok), 429, `{"error":{"code":"TooManyRequests",`)
	wantStatus(t, f.get(f.at.Graph+"/v1.0/x", tok), 401, `{"error":{"code":"InvalidAuthenticationToken",`)
	wantStatus(t, f.get(f.at.Blob+"/x", ""), 503, "<Error><Code>ServerBusy</Code>")
	wantStatus(t, f.login("/oauth2/token"), 503, "AADSTS90033")
}

func TestRequests_AreKeptUpToALimitAndCountedBeyond(t *testing.T) {
	f := start(t, nil, Options{Log: 2})
	for range 3 {
		f.get(f.at.API+"/v1/customers", "", "X-Locale", "nl-NL")
	}
	got := f.Requests()
	if len(got) != 2 || f.Count(API) != 3 || got[1].Host != API || got[1].Method != "GET" || got[1].Header.Get("X-Locale") != "nl-NL" || got[1].Status != 401 {
		t.Errorf("got %d of %d: %+v", len(got), f.Count(API), got)
	}
	f.Forget()
	if len(f.Requests()) != 0 || f.Count(API) != 0 {
		t.Error("nothing was forgotten")
	}
}
