package entra

import (
	"net/http"
	"strings"

	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// hint says what to do about a refusal of Graph.
func hint(refused *retry.StatusError, _ microsoft.Error) string {
	if refused.Status != http.StatusForbidden {
		return ""
	}
	_, path, _ := strings.Cut(refused.URL, "/v1.0/")
	permission := ""
	switch first, _, _ := strings.Cut(path, "/"); first {
	case "groups":
		permission = "GroupMember.Read.All"
	case "users":
		permission = "User.Read.All"
	case "directoryRoles":
		permission = "RoleManagement.Read.Directory"
	default:
		return ""
	}
	return "give the app registration the application permission " + permission + " of Microsoft Graph, and grant admin consent"
}
