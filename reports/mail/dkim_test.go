package mail

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

// TestDKIM_AnotherImplementationVerifies what we sign, and refuses it when a
// byte was changed.
func TestDKIM_AnotherImplementationVerifies(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"rsa": rsaKey, "ed25519": edKey} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDKIM("partner.example", "tidemark", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		raw := seal(t, message())
		signed, err := d.Sign(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(signed, raw) {
			t.Errorf("%s: signing changed the mail", name)
		}
		public := base64.StdEncoding.EncodeToString(publicBytes(t, key))
		lookup := func(domain string) ([]string, error) {
			if domain != "tidemark._domainkey.partner.example" {
				t.Errorf("%s: asked for %s", name, domain)
			}
			return []string{"v=DKIM1; k=" + name + "; p=" + public}, nil
		}
		verify := func(b []byte) error {
			t.Helper()
			found, err := dkim.VerifyWithOptions(bytes.NewReader(b), &dkim.VerifyOptions{LookupTXT: lookup})
			if err != nil || len(found) != 1 {
				t.Fatalf("%s: %d signatures, %v", name, len(found), err)
			}
			return found[0].Err
		}
		if err := verify(signed); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, change := range [][2]string{{"Subject: ", "Subject: x"}, {"</html>", "</htmx>"}} {
			if changed := strings.Replace(string(signed), change[0], change[1], 1); changed != string(signed) && verify([]byte(changed)) == nil {
				t.Errorf("%s: a changed %q is accepted", name, change[0])
			}
		}
	}
	if _, err := NewDKIM("partner.example", "s", []byte("no key"), time.Now); err == nil {
		t.Error("a key that is none is accepted")
	}
}

func publicBytes(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	if p, ok := key.Public().(ed25519.PublicKey); ok {
		return p
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}
