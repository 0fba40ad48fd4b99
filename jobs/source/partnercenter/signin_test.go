package partnercenter

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/jobs/microsoft"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// withRefreshToken makes the client sign in as a user.
func (s *side) withRefreshToken(token string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "refresh-token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.options.RefreshToken = path
	return path
}

func TestSignIn_ARotatedRefreshTokenIsKept(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{RevokeOld: true, TokenUses: 9}})
	first := "refresh-token" + marker
	path := s.withRefreshToken(first)
	source := s.source()
	s.isTruth(s.inventory(source))
	s.isAllUsage(s.usage(source, nil))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if now := strings.TrimSpace(string(b)); now == first || now == "" {
		t.Error("the file still holds the first refresh token")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) != 1 {
		t.Errorf("beside the token: %q, %v", left, err)
	}
	// A program started anew goes on with the newest one.
	s.options.Work = filepath.Join(t.TempDir(), "work")
	s.isTruth(s.inventory(s.source()))
}

func TestSignIn_TokensAreRenewedWhilePaging(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{TokenUses: 5}})
	s.isTruth(s.inventory(s.source()))
	if n := s.server.Count(fakemicrosoft.Login); n < 5 {
		t.Errorf("%d tokens", n)
	}
}

// certificate makes a self-signed one.
func certificate(t *testing.T, ends time.Time) (text []byte, cert *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tidemark"}, NotBefore: start.AddDate(-1, 0, 0), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return text, cert
}

func TestSignIn_WithACertificate(t *testing.T) {
	text, cert := certificate(t, start.AddDate(1, 0, 0))
	s := newSide(t, smallPartner(), fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{Certificate: cert}})
	s.options.Secret, s.options.Certificate = "", text
	s.isTruth(s.inventory(s.source()))
	t.Run("one that is not registered", func(t *testing.T) {
		other, _ := certificate(t, start.AddDate(1, 0, 0))
		s.options.Certificate, s.options.Work = other, filepath.Join(t.TempDir(), "work")
		if _, err := readInventory(t.Context(), s.source()); err == nil || !strings.Contains(err.Error(), "add it to the app registration") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("one that has ended", func(t *testing.T) {
		s.options.Certificate, _ = certificate(t, start.AddDate(0, 0, -1))
		if _, err := New(s.options); err == nil || !strings.Contains(err.Error(), "ended on 2026-11-24") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("no certificate at all", func(t *testing.T) {
		s.options.Certificate = []byte("not PEM")
		if _, err := New(s.options); err == nil || !strings.Contains(err.Error(), "PEM") {
			t.Errorf("err = %v", err)
		}
	})
}

func TestSignIn_RefusalsSayWhatToDo(t *testing.T) {
	tests := map[string]struct {
		options fakemicrosoft.Options
		change  func(*side)
		want    string
	}{
		"wrong secret":          {change: func(s *side) { s.options.Secret = "wrong" }, want: "AADSTS7000215: the client secret is wrong: copy its value, not its id"},
		"ended secret":          {options: fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{SecretExpired: true}}, want: "has expired: make a new one"},
		"another app":           {change: func(s *side) { s.options.ClientID = "22222222-2222-4333-8444-555555555555" }, want: "client_id is no app of this tenant"},
		"revoked refresh token": {change: func(s *side) { s.withRefreshToken("refresh-token" + marker); s.server.Revoke() }, want: "let the user consent again"},
		"refresh token without MFA at sign-in": {options: fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{NeedMFA: true}},
			change: func(s *side) { s.withRefreshToken("refresh-token" + marker) }, want: "let a user who signs in with MFA consent again"},
		"token without the MFA claim": {options: fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{WithoutMFA: true}},
			change: func(s *side) { s.withRefreshToken("refresh-token" + marker) }, want: "carries no multi-factor authentication"},
		"no refresh token yet":       {change: func(s *side) { s.options.RefreshToken = filepath.Join(s.t.TempDir(), "none") }, want: "get one by consenting once"},
		"no right in Partner Center": {options: fakemicrosoft.Options{DenyAPI: true}, want: "give the consenting user the role Admin agent"},
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			test := tests[name]
			s := newSide(t, smallPartner(), test.options)
			if test.change != nil {
				test.change(s)
			}
			_, err := readInventory(t.Context(), s.source())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("err = %v, want %q", err, test.want)
			} else if text := err.Error(); strings.Contains(text, marker) || strings.Count(text, "sign in:") > 1 {
				t.Errorf("err = %v", err)
			}
			t.Log(err)
		})
	}
}

func TestUsage_WithoutThePermission(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{DenyGraph: true})
	_, err := func() (n int, err error) {
		for _, err = range s.source().Usage(t.Context(), nil, &data.Tally{}) {
			n++
		}
		return n, err
	}()
	if err == nil || !strings.Contains(err.Error(), "PartnerBilling.Read.All") {
		t.Errorf("err = %v", err)
	}
}

// TestToken_GoesToItsHostOnly has the answers lead elsewhere: by a link, by the
// Location of an export, by a redirect.
func TestToken_GoesToItsHostOnly(t *testing.T) {
	var got []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	replace := func(old string) func([]byte) []byte {
		return func(b []byte) []byte {
			return []byte(strings.ReplaceAll(string(b), old, elsewhere.URL+"/v1/customers"))
		}
	}
	faults := map[string]fakemicrosoft.Fault{
		"link":     {Host: fakemicrosoft.API, Path: "/v1/customers", Edit: replace("/customers?size=7&seekOperation=Next"), Every: 1},
		"redirect": {Host: fakemicrosoft.API, Path: "/v1/customers", Status: 302, Header: map[string]string{"Location": elsewhere.URL + "/v1/customers"}, Every: 1},
		"export":   {Host: fakemicrosoft.Graph, Path: "/export", Status: 202, Header: map[string]string{"Location": elsewhere.URL + "/v1.0/reports/partners/billing/operations/1"}, Every: 1},
	}
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Run(name, func(t *testing.T) {
			s := newSide(t, smallPartner(), fakemicrosoft.Options{})
			s.server.Script(faults[name])
			source := s.source()
			_, err := readInventory(t.Context(), source)
			if err == nil {
				for _, err = range source.Usage(t.Context(), nil, &data.Tally{}) {
					if err != nil {
						break
					}
				}
			}
			if err == nil {
				t.Error("no error")
			}
			t.Log(err)
		})
	}
	if len(got) > 0 {
		t.Errorf("another host was asked: %q", got)
	}
}

func TestNew_Refusals(t *testing.T) {
	good := Options{Credentials: microsoft.Credentials{Tenant: "contoso.example", ClientID: "x", Secret: "y"}, Work: "w", Now: time.Now}
	tests := map[string]func(*Options){
		"tenant is missing":              func(o *Options) { o.Tenant = "" },
		"neither an id nor a domain":     func(o *Options) { o.Tenant = "a/../b" },
		"client_id is missing":           func(o *Options) { o.ClientID = "" },
		"client_secret or certificate":   func(o *Options) { o.Secret = "" },
		"are both given":                 func(o *Options) { o.Certificate = []byte("x") },
		"cloud \"mars\" is not known":    func(o *Options) { o.Cloud = "mars" },
		"is not encrypted":               func(o *Options) { o.Endpoints.API = "http://api.example" },
		"is not the address of a host":   func(o *Options) { o.Endpoints.Graph = "https://graph.example/v1.0" },
		"is not an ISO 4217 code":        func(o *Options) { o.Currencies = []string{"EURO"} },
		"work is missing":                func(o *Options) { o.Work = "" },
		"endpoints.login \"https://u:p@": func(o *Options) { o.Endpoints.Login = "https://u:p@login.example" },
	}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range tests {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}
