package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
)

// boundaryPrefix and a digest make 60 characters, as many as the random
// boundaries have, so that no header is folded differently.
const boundaryPrefix = "tidemark"

// maxLevels is more than the deepest nesting a message can have: mixed,
// related, alternative.
const maxLevels = 4

// fixBoundaries replaces the random multipart boundaries of a composed message
// by ones that follow from the report id and the level of nesting.
func fixBoundaries(raw []byte, reportID string) ([]byte, error) {
	msg, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	boundaries, err := findBoundaries(msg.Header.Get("Content-Type"), msg.Body)
	if err != nil {
		return nil, err
	}
	for level, old := range boundaries {
		fixed := boundaryPrefix + digest(reportID, fmt.Sprint(level))
		if bytes.Contains(raw, []byte(fixed)) {
			return nil, errors.New("the content holds the boundary of the parts")
		}
		raw = bytes.ReplaceAll(raw, []byte(old), []byte(fixed))
	}
	return raw, nil
}

// findBoundaries returns the boundary of each level of nesting, outermost
// first. Only the first part of a level can be a multipart itself.
func findBoundaries(contentType string, body io.Reader) ([]string, error) {
	var found []string
	for range maxLevels {
		kind, params, err := mime.ParseMediaType(contentType)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(kind, "multipart/") {
			return found, nil
		}
		found = append(found, params["boundary"])
		part, err := multipart.NewReader(body, params["boundary"]).NextRawPart()
		if err != nil {
			return nil, err
		}
		contentType, body = part.Header.Get("Content-Type"), part
	}
	return nil, errors.New("the parts are nested too deeply")
}
