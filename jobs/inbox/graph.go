package inbox

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// Graph is the inbox of a mailbox of Exchange Online, read through Microsoft Graph
// (https://learn.microsoft.com/graph/api/user-list-messages). Messages that are read
// already are left out; Done marks one as read.
type Graph struct {
	api     *microsoft.API
	mailbox string // address or id
}

// NewGraph reads a mailbox with a client of its own, which then says what to do where it
// may not.
func NewGraph(api *microsoft.API, mailbox string) Graph {
	api.Hint = func(refused *retry.StatusError, _ microsoft.Error) string {
		if refused.Status == http.StatusForbidden {
			return "give the app registration the application permission Mail.ReadWrite, or the role for this mailbox in Exchange (docs/microsoft365.md)"
		}
		return ""
	}
	return Graph{api, mailbox}
}

// Messages lists what is not read, the oldest first, and reads each as MIME.
func (g Graph) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		query := url.Values{"$filter": {"isRead eq false"}, "$select": {"id,receivedDateTime"}, "$top": {"100"}}
		type listed struct {
			ID       string `json:"id"`
			Received string `json:"receivedDateTime"` // ISO 8601 in UTC, which sorts as text
		}
		all, err := microsoft.Collection[listed](ctx, g.api, "users/"+url.PathEscape(g.mailbox)+"/mailFolders/inbox/messages?"+query.Encode(), http.Header{})
		if err != nil {
			yield(Message{}, fmt.Errorf("list messages of %s: %w", g.mailbox, err))
			return
		}
		slices.Reverse(all) // Graph lists the newest first, which it does not promise
		slices.SortStableFunc(all, func(a, b listed) int { return strings.Compare(a.Received, b.Received) })
		for _, one := range all {
			m := Message{ID: one.ID}
			m.Raw, err = g.api.Bytes(ctx, g.api.Host.JoinPath(g.api.Version, "users", g.mailbox, "messages", one.ID, "$value"), MaxMessage)
			if !yield(m, err) {
				return
			}
		}
	}
}

// Done marks a message as read.
func (g Graph) Done(ctx context.Context, m Message) error {
	return g.api.Patch(ctx, g.api.Host.JoinPath(g.api.Version, "users", g.mailbox, "messages", m.ID), map[string]any{"isRead": true})
}
