package mail

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// DKIM signs sealed bytes on their way out (RFC 6376), for relays that do not
// sign themselves. What is stored stays unsigned, so that it can be built again.
type DKIM struct{ signer *gomail.DKIMSigner }

// NewDKIM makes a signer for a domain with the private key, RSA or Ed25519 in
// PEM, whose public half stands at SELECTOR._domainkey.DOMAIN. now is the clock
// of the signature's time.
func NewDKIM(domain, selector string, key []byte, now func() time.Time) (*DKIM, error) {
	private, err := gomail.PrivKeyFromPEM(key)
	if err != nil {
		return nil, fmt.Errorf("dkim key: %w", err)
	}
	s := gomail.NewDKIMSigner(domain, selector, private)
	// List-Unsubscribe is among them as RFC 8058 wants. A longer list is folded by
	// go-mail 0.8.1 inside h=, which it does not sign so: nobody could verify it.
	s.SignHeaders("From", "To", "Subject", "Date", "Message-ID", "Content-Type", "List-Unsubscribe")
	s.NowFunc = now
	if err := s.ValidateConfig(); err != nil {
		return nil, fmt.Errorf("dkim: %w", err)
	}
	return &DKIM{s}, nil
}

// Sign returns the bytes with the signature in front.
func (d *DKIM) Sign(raw []byte) ([]byte, error) {
	end := bytes.Index(raw, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, errors.New("dkim: the mail has no end of its headers")
	}
	signature, err := d.signer.Sign(raw[:end+2], raw[end+4:])
	if err != nil {
		return nil, fmt.Errorf("dkim: %w", err)
	}
	if !strings.HasSuffix(signature, "\r\n") {
		signature += "\r\n"
	}
	return append([]byte(signature), raw...), nil
}
