package mail

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"

	"golang.org/x/net/idna"
)

// asciiAddress returns an address as every mail server takes it: the domain in
// punycode. A local part outside ASCII would need SMTPUTF8 on every hop and
// bounce later, so it is refused here.
func asciiAddress(a netmail.Address) (*netmail.Address, error) {
	at := strings.LastIndexByte(a.Address, '@')
	if at < 1 {
		return nil, fmt.Errorf("address %q: want name@domain", a.Address)
	}
	local := a.Address[:at]
	if strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>[]:;@\,"`, r) }) {
		return nil, fmt.Errorf("address %q: the part before @ must be plain ASCII", a.Address)
	}
	domain, err := ASCIIDomain(a.Address[at+1:])
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", a.Address, err)
	}
	clean := &netmail.Address{Name: a.Name, Address: local + "@" + domain}
	if _, err := netmail.ParseAddress(clean.String()); err != nil {
		return nil, fmt.Errorf("address %q: %w", a.Address, err)
	}
	return clean, nil
}

var errDomain = errors.New("the domain is not a valid one")

// ASCIIDomain returns a domain as it stands in DNS, in lower case and punycode.
func ASCIIDomain(domain string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || ascii == "" {
		return "", errDomain
	}
	return ascii, nil
}

// Key is the same for two ways to write one address: in lower case, the domain in
// punycode where it can be.
func Key(address string) string {
	address = strings.ToLower(address)
	at := strings.LastIndexByte(address, '@')
	if domain, err := ASCIIDomain(address[at+1:]); err == nil {
		return address[:at+1] + domain
	}
	return address
}

// CheckAddress reports whether a message can be addressed to a, and if not why.
func CheckAddress(a string) error {
	_, err := asciiAddress(netmail.Address{Address: a})
	return err
}
