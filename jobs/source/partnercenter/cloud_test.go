package partnercenter

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// signIns notes how the client signs in, and for what.
type signIns struct {
	next http.RoundTripper
	got  []string
}

func (l *signIns) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "oauth2") {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, err
		}
		l.got = append(l.got, form.Get("grant_type")+" "+form.Get("resource"))
		r.Body = io.NopCloser(strings.NewReader(string(b)))
	}
	return l.next.RoundTrip(r)
}

// TestSignIn_InEachCloud has a tenant of a cloud, which knows that cloud's resources
// only, whatever hosts stand in for them.
func TestSignIn_InEachCloud(t *testing.T) {
	for cloud, want := range map[string][]string{
		"":       {"https://api.partnercenter.microsoft.com", "https://graph.microsoft.com"},
		"global": {"https://api.partnercenter.microsoft.com", "https://graph.microsoft.com"},
		"usgov":  {"https://api.partnercenter.microsoft.com", "https://graph.microsoft.us"},
		"china":  {"https://partner.partnercenterapi.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"},
	} {
		t.Run("cloud "+cloud, func(t *testing.T) {
			s := newSide(t, smallPartner(), fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{Cloud: cloud}})
			log := &signIns{next: http.DefaultTransport}
			s.options.Cloud, s.options.Transport = cloud, log
			source := s.source()
			s.isTruth(s.inventory(source))
			s.isAllUsage(s.usage(source, nil))
			if want := []string{"client_credentials " + want[0], "client_credentials " + want[1]}; !slices.Equal(log.got, want) {
				t.Errorf("signed in %q, want %q", log.got, want)
			}
		})
	}
}

// TestSignIn_GraphIsTheApps has a user sign in to Partner Center: the permission of
// Graph is the app's all the same.
func TestSignIn_GraphIsTheApps(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{AppGraph: true})
	s.withRefreshToken("refresh-token" + marker)
	log := &signIns{next: http.DefaultTransport}
	s.options.Transport = log
	source := s.source()
	s.isTruth(s.inventory(source))
	s.isAllUsage(s.usage(source, nil))
	if want := []string{"refresh_token https://api.partnercenter.microsoft.com", "client_credentials https://graph.microsoft.com"}; !slices.Equal(log.got, want) {
		t.Errorf("signed in %q, want %q", log.got, want)
	}
	t.Run("which a check says", func(t *testing.T) {
		var found []string
		s.source().Probe(t.Context(), Probing{Inventory: true, Usage: true, OK: func(f string) { found = append(found, f) }, Warn: func(w string) { t.Error(w) }, Problem: func(err error) { t.Error(err) }})
		for _, want := range []string{"sign-in for Partner Center: app+user", "sign-in for Microsoft Graph: app-only"} {
			if !slices.Contains(found, want) {
				t.Errorf("%q lacks %q", found, want)
			}
		}
	})
	t.Run("with a certificate", func(t *testing.T) {
		text, cert := certificate(t, start.AddDate(1, 0, 0))
		s := newSide(t, smallPartner(), fakemicrosoft.Options{AppGraph: true, Login: fakemicrosoft.LoginOptions{Certificate: cert}})
		s.withRefreshToken("refresh-token" + marker)
		s.options.Secret, s.options.Certificate = "", text
		s.isAllUsage(s.usage(s.source(), nil))
	})
	t.Run("a revoked refresh token does not keep usage away", func(t *testing.T) {
		s := newSide(t, handMade(line(nil)), fakemicrosoft.Options{AppGraph: true})
		s.withRefreshToken("refresh-token" + marker)
		s.server.Revoke()
		if _, err := s.source().graph.SignIn(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.source().pc.SignIn(t.Context()); err == nil || !strings.Contains(err.Error(), "let the user consent again") {
			t.Errorf("err = %v", err)
		}
	})
}
