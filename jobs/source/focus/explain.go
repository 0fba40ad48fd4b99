package focus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// failed says what was being done when a request failed, and what to do about it.
// The error's text is made anew: those of the network hold whole addresses, the
// signature included.
func (b *blobs) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	return fmt.Errorf("%s: %w", doing, b.explain(err))
}

func (b *blobs) explain(err error) error {
	text := withoutAddress(err).Error()
	var refused *azcore.ResponseError
	var signIn *signInError
	switch {
	case errors.As(err, &signIn):
		text = signIn.Error()
	case errors.As(err, &refused):
		text = fmt.Sprintf("%d %s: %s", refused.StatusCode, refused.ErrorCode, b.remedy(refused))
	}
	for _, secret := range b.secrets {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return errors.New(text)
}

// remedy says what to do about a refusal.
func (b *blobs) remedy(e *azcore.ResponseError) string {
	switch code := bloberror.Code(e.ErrorCode); {
	case code == bloberror.ConditionNotMet || e.StatusCode == http.StatusPreconditionFailed:
		return "the blob was replaced while it was read: run again"
	case code == bloberror.ContainerNotFound:
		return "there is no such container: check its address"
	case code == bloberror.BlobNotFound:
		return "the blob is gone since it was listed: run again"
	case e.StatusCode == http.StatusForbidden && b.ends != "":
		return fmt.Sprintf("the SAS is refused, it says that it ends at %s: make a new one for the container with the rights read and list, and see that the account's firewall lets this machine in", b.ends)
	case e.StatusCode == http.StatusForbidden || e.StatusCode == http.StatusUnauthorized:
		return "access is refused: give the app the role Storage Blob Data Reader on the container, or the SAS the rights read and list, and see that the account's firewall lets this machine in"
	case e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests:
		return "the storage account is busy or out of order: run again later"
	case e.StatusCode >= 300 && e.StatusCode < 400:
		return "the address leads elsewhere: give the container's own"
	}
	return "the storage account refuses the request: check the container's address"
}

// withoutAddress takes the address off an error of the network.
func withoutAddress(err error) error {
	for {
		var at *url.Error
		if !errors.As(err, &at) {
			return err
		}
		err = at.Err
	}
}
