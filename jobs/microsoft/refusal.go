package microsoft

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"golang.org/x/oauth2"
)

// Error is the body of a refusal of Partner Center or Graph, whichever of
// its shapes it has.
type Error struct {
	Code, Message string
}

// CodeNoMFA says that the token carries no multi-factor authentication.
const CodeNoMFA = "900421"

// Text is a JSON string, or whatever stands in its place as text: codes come as
// strings and as numbers.
type Text string

func (t *Text) UnmarshalJSON(b []byte) error {
	switch {
	case string(b) == "null":
		return nil
	case len(b) > 0 && b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	}
	*t = Text(b)
	return nil
}

func ParseError(body []byte) Error {
	var shapes struct {
		Code        Text            `json:"code"`
		Description Text            `json:"description"`
		StatusCode  Text            `json:"statusCode"`
		Message     Text            `json:"message"`
		Error       json.RawMessage `json:"error"`
	}
	if json.Unmarshal(WithoutBOM(body), &shapes) != nil {
		return Error{}
	}
	if len(shapes.Error) > 0 && shapes.Error[0] == '{' {
		return ParseError(shapes.Error)
	}
	return Error{Code: cmp.Or(string(shapes.Code), string(shapes.StatusCode)), Message: cmp.Or(string(shapes.Description), string(shapes.Message))}
}

// Said is what the remote side said, for a person: short, quoted, since it may
// hold anything.
func (e Error) Said() string {
	switch {
	case e.Code == "" && e.Message == "":
		return ""
	case e.Message == "":
		return fmt.Sprintf(" (code %s)", Shorten(e.Code))
	}
	return fmt.Sprintf(" (code %s: %q)", Shorten(e.Code), Shorten(e.Message))
}

// Shorten makes a text of the remote side fit to be shown: short, and without what
// looks like a token or a signature.
func Shorten(s string) string {
	const most = 200
	s = regexp.MustCompile(`(?i)(bearer\s+|sig=|eyJ)[^\s"&]+`).ReplaceAllString(s, "${1}…")
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

var (
	// ErrNoResource says that the tenant does not know the resource of a token.
	ErrNoResource = errors.New("resource not known")
	// errNoToken says that a token was refused, and would be if it were asked for again.
	errNoToken = errors.New("token refused")
)

// refusal is a sign-in that Microsoft Entra refused.
type refusal struct {
	error
	resource bool // for the resource is not known
	later    bool // for a moment, maybe
}

func (r refusal) Is(target error) bool {
	return target == ErrNoResource && r.resource || target == errNoToken && !r.later
}

// explainSignIn says what Microsoft Entra's refusal means.
func explainSignIn(err error, refreshToken string) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return fmt.Errorf("sign in: %w", err)
	}
	code := regexp.MustCompile(`AADSTS[0-9]+`).FindString(refused.ErrorDescription)
	hint := ""
	switch code {
	case "AADSTS7000215":
		hint = "the client secret is wrong: copy its value, not its id, from the app registration"
	case "AADSTS7000222":
		hint = "the client secret has expired: make a new one in the app registration"
	case "AADSTS700027", "AADSTS7000273":
		hint = "the certificate is not known: add it to the app registration"
	case "AADSTS700016":
		hint = "client_id is no app of this tenant: check client_id and tenant"
	case "AADSTS90002", "AADSTS900023":
		hint = "the tenant does not exist: check tenant, and cloud for a national cloud"
	case "AADSTS500011":
		hint = "the resource is not known in this tenant: give the app registration an API permission of the service that it asks (Microsoft Partner Center, Microsoft Graph or Office 365 Exchange Online), and grant admin consent"
	case "AADSTS65001":
		hint = "consent is missing: grant admin consent to the app registration"
	case "AADSTS50076", "AADSTS50079", "AADSTS50158":
		hint = "multi-factor authentication is asked for: let a user who signs in with MFA consent again and store the new refresh token"
	case "AADSTS53003":
		hint = "a conditional access policy stops the sign-in: see the sign-in log of Microsoft Entra"
	}
	if hint == "" && refused.ErrorCode == "invalid_grant" && refreshToken != "" {
		hint = "the refresh token has ended or was revoked: let the user consent again and store the new one in " + refreshToken
	}
	if hint == "" {
		hint = "see the sign-in log of Microsoft Entra"
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	return refusal{fmt.Errorf("sign in: refused with %s: %s", Shorten(strings.TrimSpace(refused.ErrorCode+" "+code)), hint),
		code == "AADSTS500011", status == http.StatusTooManyRequests || status >= http.StatusInternalServerError}
}
