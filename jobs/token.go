package jobs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tidemark/data"
	"tidemark/reports"
)

// The token of an answer is tm1. and the base32 of
//
//	report id (10 bytes) | customer (3, its place in the report's sorted scope) | action (1) | MAC (16)
//
// Thirty bytes fill 48 letters to the last bit, so no two spellings are one token.
const (
	tokenPrefix  = "tm1."
	tokenReport  = 10
	tokenMAC     = 16
	tokenBytes   = tokenReport + 3 + 1 + tokenMAC
	maxCustomers = 1 << 24
)

// MinAnswerKey is the least length of the key that answers are signed with, in bytes.
const MinAnswerKey = 32

// answerToken is a token taken apart. What it says is a claim until its MAC is verified.
type answerToken struct {
	report   string
	customer int
	action   reports.Action
	mac      [tokenMAC]byte
}

func (t answerToken) String() string {
	raw, err := base32.StdEncoding.DecodeString(strings.ToUpper(t.report))
	if err != nil || len(raw) != tokenReport || t.customer < 0 || t.customer >= maxCustomers {
		return "" // nothing that could be told from a report of ours
	}
	raw = append(raw, byte(t.customer>>16), byte(t.customer>>8), byte(t.customer), byte(slices.Index(reports.Actions(), t.action)))
	return tokenPrefix + base32.StdEncoding.EncodeToString(append(raw, t.mac[:]...))
}

// parseToken takes a token apart; ok is false for anything that String does not write.
func parseToken(s string) (t answerToken, ok bool) {
	text, found := strings.CutPrefix(s, tokenPrefix)
	if !found || len(text) != base32.StdEncoding.EncodedLen(tokenBytes) {
		return t, false
	}
	raw, err := base32.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != tokenBytes { // fewer than its letters where line ends were skipped
		return t, false
	}
	t.report = strings.ToLower(base32.StdEncoding.EncodeToString(raw[:tokenReport]))
	t.customer = int(raw[tokenReport])<<16 | int(raw[tokenReport+1])<<8 | int(raw[tokenReport+2])
	if at := int(raw[tokenReport+3]); at < len(reports.Actions()) {
		t.action = reports.Actions()[at]
	} else {
		return t, false
	}
	copy(t.mac[:], raw[tokenReport+4:])
	return t, true
}

// FindToken finds the token in the subject of an answer, also where a mail program broke it
// over two lines or left its brackets encoded. Of what was a token, or of several, found is
// true and the token is "".
func FindToken(subject string) (token string, found bool) {
	all := regexp.MustCompile(`(?i)(?:\[|%5B)\s*(tm1\.[A-Z2-7\s]{48,})(?:\]|%5D)`).FindAllStringSubmatch(subject, -1)
	if len(all) == 1 {
		token = strings.Join(strings.Fields(all[0][1]), "")
		token = tokenPrefix + strings.ToUpper(token[len(tokenPrefix):])
		if len(token) == len(tokenPrefix)+base32.StdEncoding.EncodedLen(tokenBytes) {
			return token, true
		}
	}
	return "", len(all) > 0 || regexp.MustCompile(`(?i)tm1\.[A-Z2-7]{20}`).MatchString(subject)
}

// reportKey signs the answers to one report of one recipient. The archive keeps it, so
// that the mail can be built again without the key that it comes from.
type reportKey []byte

func keyOfReport(key []byte, report, recipient string) reportKey {
	return hashOf(key, "tidemark answers 1", report, strings.ToLower(recipient))
}

func (k reportKey) mac(report, recipient string, customer data.CustomerID, action reports.Action) (mac [tokenMAC]byte) {
	copy(mac[:], hashOf(k, report, strings.ToLower(recipient), string(customer), string(action)))
	return mac
}

// hashOf is the HMAC-SHA256 of parts, each with its length before it.
func hashOf(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// CheckAnswerKey reports whether a key is long enough to sign with.
func CheckAnswerKey(key []byte) error {
	if len(key) < MinAnswerKey {
		return fmt.Errorf("the key has %d bytes, want at least %d; `openssl rand -hex 32` makes one", len(key), MinAnswerKey)
	}
	return nil
}
