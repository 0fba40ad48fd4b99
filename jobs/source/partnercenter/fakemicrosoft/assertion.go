package fakemicrosoft

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// verifyAssertion checks a client assertion: a JWT, signed with the key of the
// app's certificate, that names it by thumbprint and is meant for this endpoint.
// With an error it returns the sign-in's code for it.
func (s *Server) verifyAssertion(jwt, path string) (int, error) {
	cert := s.opt.Login.Certificate
	if cert == nil {
		return 700027, errors.New("the app has no certificate")
	}
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return 50027, errors.New("not a JWT")
	}
	var head struct{ Alg, X5t, X5tS256 string }
	if err := decodePart(parts[0], &head); err != nil {
		return 50027, err
	}
	var raw map[string]any
	if err := decodePart(parts[0], &raw); err != nil {
		return 50027, err
	}
	head.X5tS256, _ = raw["x5t#S256"].(string)
	if err := thumbprint(cert.Raw, head.X5t, head.X5tS256); err != nil {
		return 700027, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return 50027, err
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return 700027, errors.New("the certificate's key is not RSA")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	switch head.Alg {
	case "RS256":
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
	case "PS256":
		err = rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, nil)
	default:
		err = errors.New("algorithm " + head.Alg)
	}
	if err != nil {
		return 700027, err
	}
	return s.verifyClaims(parts[1], path)
}

// verifyClaims checks who made the assertion, for whom and until when.
func (s *Server) verifyClaims(part, path string) (int, error) {
	var c struct {
		Aud, Iss, Sub, Jti string
		Exp, Nbf           int64
	}
	if err := decodePart(part, &c); err != nil {
		return 50027, err
	}
	now := s.now()
	switch {
	case c.Iss != s.opt.Login.ClientID || c.Sub != s.opt.Login.ClientID:
		return 700021, errors.New("iss and sub must be the app")
	case c.Aud != s.at.Login+path && c.Aud != "https://login.microsoftonline.com"+path:
		return 700023, errors.New("aud is not this endpoint")
	case c.Jti == "":
		return 50027, errors.New("jti is missing")
	case now.Unix() >= c.Exp, c.Nbf > now.Add(5*time.Minute).Unix():
		return 700024, errors.New("not within its valid time range")
	}
	return 0, nil
}

// thumbprint checks that one of the thumbprints given is that of a certificate.
func thumbprint(der []byte, x5t, x5tS256 string) error {
	one, two := sha1.Sum(der), sha256.Sum256(der)
	switch {
	case x5t == "" && x5tS256 == "":
		return errors.New("no thumbprint")
	case x5t != "" && strings.TrimRight(x5t, "=") != base64.RawURLEncoding.EncodeToString(one[:]),
		x5tS256 != "" && x5tS256 != base64.RawURLEncoding.EncodeToString(two[:]):
		return errors.New("the thumbprint is not that of the app's certificate")
	}
	return nil
}

func decodePart(part string, v any) error {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
