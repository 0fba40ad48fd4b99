package fakemicrosoft_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

func TestLogin_Version1WritesNumbersAsStrings(t *testing.T) {
	f := start(t, nil, Options{})
	o := f.login("/oauth2/token", "grant_type", "client_credentials", "resource", ResourceAPI).object(t)
	if o["expires_in"] != "3600" || o["expires_on"] != "1770706800" || o["token_type"] != "Bearer" {
		t.Errorf("got %v", o)
	}
	if o["refresh_token"] != nil {
		t.Error("an app alone got a refresh token")
	}
}

func TestLogin_Version2WritesNumbersAndWantsScopes(t *testing.T) {
	f := start(t, nil, Options{})
	o := f.login("/oauth2/v2.0/token", "grant_type", "client_credentials", "scope", ResourceGraph+"/.default").object(t)
	if o["expires_in"] != json.Number("3600") {
		t.Errorf("got %v", o)
	}
	wantStatus(t, f.login("/oauth2/v2.0/token", "grant_type", "client_credentials", "scope", ResourceGraph+"/User.Read"), 400, "invalid_scope")
	o = f.login("/oauth2/v2.0/token", "grant_type", "refresh_token", "refresh_token", "refresh-token", "scope", ResourceAPI+"/user_impersonation").object(t)
	if o["refresh_token"] != nil {
		t.Error("a refresh token without offline_access")
	}
	o = f.login("/oauth2/v2.0/token", "grant_type", "refresh_token", "refresh_token", "refresh-token", "scope",
		ResourceAPI+"/user_impersonation offline_access").object(t)
	if o["refresh_token"] == nil {
		t.Error("no refresh token with offline_access")
	}
}

func TestLogin_TokensOfExchangeOpenMailProtocolsOnly(t *testing.T) {
	f := start(t, nil, Options{})
	token := f.token(ResourceOutlook)
	if !f.Admits(token) || f.Admits(f.token(ResourceGraph)) || f.Admits("") || f.Admits("made up") {
		t.Error("a token of another resource is taken, or its own is not")
	}
	wantStatus(t, f.get(f.at.Graph+"/v1.0/groups", token), 401, "InvalidAuthenticationToken")
	f.Expire()
	if f.Admits(token) {
		t.Error("a token that has ended is taken")
	}
}

func TestLogin_CodeOfAUserGivesARefreshTokenOnce(t *testing.T) {
	f := start(t, nil, Options{})
	ask := func(code, redirect string) answer {
		return f.login("/oauth2/token", "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "resource", ResourceAPI)
	}
	wantStatus(t, ask("guess", "http://localhost"), 400, "AADSTS9002313")
	wantStatus(t, ask("code", ""), 400, "AADSTS900144")
	token, _ := ask("code", "http://localhost").object(t)["refresh_token"].(string)
	wantStatus(t, f.login("/oauth2/token", "grant_type", "refresh_token", "refresh_token", token, "resource", ResourceAPI), 200, "")
	wantStatus(t, ask("code", "http://localhost"), 400, "AADSTS54005")
}

func TestLogin_RefusesAsTheDirectoryDoes(t *testing.T) {
	cases := []struct {
		name   string
		opt    LoginOptions
		form   []string
		status int
		code   string
	}{
		{"a wrong secret", LoginOptions{}, []string{"client_secret", "x"}, 401, "AADSTS7000215"},
		{"an expired secret", LoginOptions{SecretExpired: true}, nil, 401, "AADSTS7000222"},
		{"no secret", LoginOptions{}, []string{"client_secret", ""}, 401, "AADSTS7000218"},
		{"an app of another tenant", LoginOptions{}, []string{"client_id", "x"}, 400, "AADSTS700016"},
		{"an unknown resource", LoginOptions{}, []string{"resource", "https://x.example"}, 400, "AADSTS500011"},
		{"an unknown refresh token", LoginOptions{}, []string{"grant_type", "refresh_token", "refresh_token", "x"}, 400, "AADSTS70008"},
		{"a sign-in that wants MFA", LoginOptions{NeedMFA: true}, []string{"grant_type", "refresh_token"}, 400, "AADSTS50076"},
		{"the password grant", LoginOptions{}, []string{"grant_type", "password"}, 400, "AADSTS70003"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, nil, Options{Login: c.opt})
			form := append([]string{"grant_type", "client_credentials", "resource", ResourceAPI}, c.form...)
			wantStatus(t, f.login("/oauth2/token", form...), c.status, c.code)
		})
	}
}

func TestLogin_RotatesRefreshTokens(t *testing.T) {
	for _, revoke := range []bool{false, true} {
		f := start(t, nil, Options{Login: LoginOptions{RevokeOld: revoke}})
		ask := func(token string) answer {
			return f.login("/oauth2/token", "grant_type", "refresh_token", "refresh_token", token, "resource", ResourceAPI)
		}
		next, _ := ask("refresh-token").object(t)["refresh_token"].(string)
		if next == "" || next == "refresh-token" {
			t.Fatalf("next token %q", next)
		}
		if revoke {
			wantStatus(t, ask("refresh-token"), 400, "AADSTS50173")
		} else {
			wantStatus(t, ask("refresh-token"), 200, "")
		}
		wantStatus(t, ask(next), 200, "user_impersonation")
		f.Revoke()
		wantStatus(t, ask(next), 400, "AADSTS50173")
	}
}

func TestLogin_ChecksTheCertificatesAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tidemark"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, nil, Options{Login: LoginOptions{Certificate: cert}})
	aud := f.at.Login + "/" + f.p.TenantID + "/oauth2/token"
	b64 := base64.RawURLEncoding.EncodeToString
	one, two := sha1.Sum(der), sha256.Sum256(der)
	sign := func(head, claims map[string]any) string {
		h, _ := json.Marshal(head)
		c, _ := json.Marshal(claims)
		text := b64(h) + "." + b64(c)
		sum := sha256.Sum256([]byte(text))
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + b64(sig)
	}
	head := map[string]any{"alg": "RS256", "typ": "JWT", "x5t": b64(one[:])}
	claims := func(aud string, life time.Duration) map[string]any {
		return map[string]any{"aud": aud, "iss": appID, "sub": appID, "jti": "1", "nbf": f.clock.t.Unix(), "exp": f.clock.t.Add(life).Unix()}
	}
	good := sign(head, claims(aud, time.Minute))
	cases := []struct {
		name, jwt string
		status    int
		part      string
	}{
		{"a good one", good, 200, "access_token"},
		{"one with the SHA-256 thumbprint", sign(map[string]any{"alg": "RS256", "x5t#S256": b64(two[:])}, claims(aud, time.Minute)), 200, "access_token"},
		{"one for another endpoint", sign(head, claims(aud+"x", time.Minute)), 401, "AADSTS700023"},
		{"an expired one", sign(head, claims(aud, 0)), 401, "AADSTS700024"},
		{"one that was changed", good[:len(good)-8] + "AAAAAAAA", 401, "AADSTS700027"},
		{"one without a thumbprint", sign(map[string]any{"alg": "RS256"}, claims(aud, time.Minute)), 401, "AADSTS700027"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := f.login("/oauth2/token", "grant_type", "client_credentials", "resource", ResourceAPI, "client_secret", "",
				"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", c.jwt)
			wantStatus(t, a, c.status, c.part)
		})
	}
}

func TestTokens_AreBoundToTheirHostAndTheirHour(t *testing.T) {
	f := start(t, nil, Options{})
	api, graph := f.token(ResourceAPI), f.token(ResourceGraph)
	wantStatus(t, f.get(f.at.API+"/v1/customers", api), 200, "")
	if len(f.Leaks()) != 0 {
		t.Errorf("leaks %v", f.Leaks())
	}
	wantStatus(t, f.get(f.at.API+"/v1/customers", graph), 401, `"code":"400"`)
	wantStatus(t, f.get(f.at.Graph+"/v1.0/x", api), 401, "InvalidAuthenticationToken")
	wantStatus(t, f.get(f.at.Blob+"/x", graph), 400, "InvalidAuthenticationInfo")
	want := []Leak{{API, "/v1/customers", Graph}, {Graph, "/v1.0/x", API}, {Blob, "/x", Graph}}
	for i, l := range f.Leaks() {
		if l != want[i] {
			t.Errorf("leak %d: got %v, want %v", i, l, want[i])
		}
	}
	wantStatus(t, f.get(f.at.API+"/v1/customers", ""), 401, "800001")
	f.clock.t = f.clock.t.Add(time.Hour)
	wantStatus(t, f.get(f.at.API+"/v1/customers", api), 401, "expired")
}

func TestTokens_ExpireAfterUsesAndOnDemand(t *testing.T) {
	f := start(t, nil, Options{Login: LoginOptions{TokenUses: 2}})
	tok := f.token(ResourceAPI)
	for i, want := range []int{200, 200, 401} {
		if a := f.get(f.at.API+"/v1/customers", tok); a.status != want {
			t.Errorf("request %d: got %d, want %d", i+1, a.status, want)
		}
	}
	tok = f.token(ResourceAPI)
	f.Expire()
	wantStatus(t, f.get(f.at.API+"/v1/customers", tok), 401, "expired")
}

func TestMFA_IsWantedOfUsersOnly(t *testing.T) {
	f := start(t, nil, Options{Login: LoginOptions{WithoutMFA: true}})
	wantStatus(t, f.get(f.at.API+"/v1/customers", f.userToken(ResourceAPI)), 401, `"code":"900421"`)
	wantStatus(t, f.get(f.at.API+"/v1/customers", f.token(ResourceAPI)), 200, "")
}

func TestPermissions_CanBeTakenAway(t *testing.T) {
	f := start(t, nil, Options{DenyAPI: true, DenyGraph: true})
	wantStatus(t, f.get(f.at.API+"/v1/customers", f.token(ResourceAPI)), 403, `"code":"900150"`)
	wantStatus(t, f.get(f.at.Graph+"/v1.0/x", f.token(ResourceGraph)), 403, `"code":"Authorization_RequestDenied"`)
}

func TestSecrets_CarryTheMarker(t *testing.T) {
	f := start(t, nil, Options{Marker: "MARK", Login: LoginOptions{ClientSecret: "client-secret"}})
	f.token(ResourceAPI)
	n := 0
	for _, s := range f.Secrets() {
		if s == "access-token-api-1-MARK" || s == "refresh-tokenMARK" || s == "client-secret" {
			n++
		}
	}
	if n != 3 {
		t.Errorf("secrets %v", f.Secrets())
	}
}
