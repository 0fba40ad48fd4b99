package partnercenter

import (
	"net/http"
	"strings"

	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// Codes of Partner Center that mean something of their own.
const (
	codeNoRelation = "20002"  // no commerce relationship with the customer
	codeNoTenant   = "60003"  // the customer's tenant is not there
	codeNoRole     = "900150" // the role has no right to perform the operation
	codeNoData     = "5000"   // Graph export: no data available
)

// hint says what to do about a refusal; "" where nothing is known.
func hint(refused *retry.StatusError, e microsoft.Error) string {
	switch {
	case e.Code == microsoft.CodeNoMFA:
		return "the token carries no multi-factor authentication: let a user who signs in with MFA consent again and store the new refresh token"
	case e.Code == codeNoRole:
		return "the role of the user or app has no right to this: give the consenting user the role Admin agent"
	case e.Code == codeNoRelation:
		return "the customer has ended the relationship with the partner"
	case e.Code == "900124" || e.Code == "900123":
		return "the Microsoft Partner Agreement is not accepted: accept it in Partner Center"
	case e.Code == "900149":
		return "the programme status of the partner account is not active: see Partner Center, Account settings"
	case refused.Status == http.StatusUnauthorized:
		return "the token is refused: check tenant and client_id, and that the app registration has access to Partner Center"
	case refused.Status == http.StatusForbidden && strings.Contains(refused.URL, "/reports/partners/billing/"):
		return "a permission is missing: give the app registration the application permission PartnerBilling.Read.All of Microsoft Graph, and grant admin consent"
	case refused.Status == http.StatusForbidden:
		return "a permission is missing: for app-only sign-in register the app in Partner Center under App management; for app+user let an Admin agent consent"
	case refused.Status == http.StatusTooManyRequests:
		return "the remote side is too busy with this partner's requests: run again later; what was read is kept"
	}
	return ""
}

// text is a JSON string, or whatever stands in its place.
type text = microsoft.Text
