package partnercenter

import (
	"context"
	"errors"
	"net/http"

	"tidemark/jobs/microsoft/retry"
)

// judge takes an error for the customer's own where it is that, but not the refusal of
// a token that is not good for the list of customers either.
func (s *Source) judge(ctx context.Context, r result, err error) (result, error) {
	var refused *retry.StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		if _, listErr := readPage[customer](ctx, s.pc, link{URI: "/v1/customers?size=1"}); listErr != nil {
			return r, listErr
		}
	}
	return r.refused(err)
}
