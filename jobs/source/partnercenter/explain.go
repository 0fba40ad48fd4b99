package partnercenter

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"golang.org/x/oauth2"

	"tidemark/jobs/source/partnercenter/retry"
)

// apiError is the body of a refusal of Partner Center or Graph, whichever of
// its shapes it has.
type apiError struct {
	Code, Message string
}

// Codes of Partner Center that mean something of their own.
const (
	codeNoMFA      = "900421" // the token carries no multi-factor authentication
	codeNoRelation = "20002"  // no commerce relationship with the customer
	codeNoTenant   = "60003"  // the customer's tenant is not there
	codeNoRole     = "900150" // the role has no right to perform the operation
	codeNoData     = "5000"   // Graph export: no data available
)

// text is a JSON string, or whatever stands in its place as text: codes come as
// strings and as numbers.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case string(b) == "null":
		return nil
	case len(b) > 0 && b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	}
	*t = text(b)
	return nil
}

func parseAPIError(body []byte) apiError {
	var shapes struct {
		Code        text            `json:"code"`
		Description text            `json:"description"`
		StatusCode  text            `json:"statusCode"`
		Message     text            `json:"message"`
		Error       json.RawMessage `json:"error"`
	}
	if json.Unmarshal(withoutBOM(body), &shapes) != nil {
		return apiError{}
	}
	if len(shapes.Error) > 0 && shapes.Error[0] == '{' {
		return parseAPIError(shapes.Error)
	}
	return apiError{Code: cmp.Or(string(shapes.Code), string(shapes.StatusCode)), Message: cmp.Or(string(shapes.Description), string(shapes.Message))}
}

// said is what the remote side said, for a person: short, quoted, since it may
// hold anything.
func said(e apiError) string {
	switch {
	case e.Code == "" && e.Message == "":
		return ""
	case e.Message == "":
		return fmt.Sprintf(" (code %s)", shorten(e.Code))
	}
	return fmt.Sprintf(" (code %s: %q)", shorten(e.Code), shorten(e.Message))
}

// shorten makes a text of the remote side fit to be shown: short, and without what
// looks like a token or a signature.
func shorten(s string) string {
	const most = 200
	s = regexp.MustCompile(`(?i)(bearer\s+|sig=|eyJ)[^\s"&]+`).ReplaceAllString(s, "${1}…")
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// explain adds to a refusal what to do about it.
func explain(err error) error {
	var refused *retry.StatusError
	if !errors.As(err, &refused) {
		return err
	}
	e := parseAPIError(refused.Body)
	hint := ""
	switch {
	case e.Code == codeNoMFA:
		hint = "the token carries no multi-factor authentication: let a user who signs in with MFA consent again and store the new refresh token"
	case e.Code == codeNoRole:
		hint = "the role of the user or app has no right to this: give the consenting user the role Admin agent"
	case e.Code == codeNoRelation:
		hint = "the customer has ended the relationship with the partner"
	case e.Code == "900124" || e.Code == "900123":
		hint = "the Microsoft Partner Agreement is not accepted: accept it in Partner Center"
	case e.Code == "900149":
		hint = "the programme status of the partner account is not active: see Partner Center, Account settings"
	case refused.Status == http.StatusUnauthorized:
		hint = "the token is refused: check tenant and client_id, and that the app registration has access to Partner Center"
	case refused.Status == http.StatusForbidden && strings.Contains(refused.URL, "/reports/partners/billing/"):
		hint = "a permission is missing: give the app registration the application permission PartnerBilling.Read.All of Microsoft Graph, and grant admin consent"
	case refused.Status == http.StatusForbidden:
		hint = "a permission is missing: for app-only sign-in register the app in Partner Center under App management; for app+user let an Admin agent consent"
	case refused.Status == http.StatusTooManyRequests:
		hint = "the remote side is too busy with this partner's requests: run again later; what was read is kept"
	}
	if hint == "" {
		return fmt.Errorf("%w%s", err, said(e))
	}
	return fmt.Errorf("%w%s; %s", err, said(e), hint)
}

var (
	// errNoResource says that the tenant does not know the resource of a token.
	errNoResource = errors.New("resource not known")
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
	return target == errNoResource && r.resource || target == errNoToken && !r.later
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
		hint = "the resource is not known in this tenant: give the app registration an API permission of Microsoft Partner Center, and grant admin consent"
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
	return refusal{fmt.Errorf("sign in: refused with %s: %s", shorten(strings.TrimSpace(refused.ErrorCode+" "+code)), hint),
		code == "AADSTS500011", status == http.StatusTooManyRequests || status >= http.StatusInternalServerError}
}
