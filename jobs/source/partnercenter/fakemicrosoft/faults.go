package fakemicrosoft

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// TooMany is 429 with Retry-After in seconds, in the body that throttling has.
func TooMany(seconds int) Fault {
	return Fault{Name: "429", Host: API, Status: 429, Header: map[string]string{"Retry-After": strconv.Itoa(seconds)},
		Code: "TooManyRequests", Text: throttled(seconds)}
}

// TooManyUntil is 429 with Retry-After as an HTTP date.
func TooManyUntil(ahead time.Duration) Fault {
	return Fault{Name: "429-date", Host: API, Status: 429, RetryDate: ahead, Code: "TooManyRequests", Text: throttled(int(ahead / time.Second))}
}

// Failing is a 5xx.
func Failing(status int) Fault {
	return Fault{Name: strconv.Itoa(status), Host: API, Status: status, Code: "800003", Text: "An unexpected error occurred."}
}

// Refused is an error answer. On Graph, a 403 says that the permission is missing.
func Refused(status int, code string) Fault {
	return Fault{Name: "refused", Host: API, Status: status, Code: code, Text: "The call was refused."}
}

// NumberCode is an error whose code is a number, as Partner Center was seen to send.
func NumberCode(status, code int) Fault {
	return Fault{Name: "number-code", Host: API, Status: status,
		Body: fmt.Sprintf(`{"code":%d,"description":"The call failed.","data":[],"source":"PartnerFD"}`, code)}
}

// NoContent is 204, empty, with Retry-After in seconds.
func NoContent(seconds int) Fault {
	return Fault{Name: "204", Host: API, Path: "seek_?operation", Status: 204,
		Header: map[string]string{"Retry-After": strconv.Itoa(seconds), "Content-Length": "0"}}
}

// NoContentUntil is 204 with Retry-After as an HTTP date, as it was seen in the
// middle of paging.
func NoContentUntil(ahead time.Duration) Fault {
	return Fault{Name: "204-date", Host: API, Path: "seek_?operation", Status: 204, RetryDate: ahead}
}

// Dropped closes the connection before the header.
func Dropped() Fault { return Fault{Name: "drop", Host: API, Drop: true} }

// Lost does what was asked and closes the connection without an answer.
func Lost() Fault { return Fault{Name: "lost", Host: API, Lost: true} }

// CutAt closes the connection after n bytes of the body.
func CutAt(n int) Fault { return Fault{Name: "cut", Host: API, Cut: n} }

// Slow sends the body in pieces, each when the gate gives a value; without a gate at once.
func Slow(piece int, gate <-chan struct{}) Fault {
	return Fault{Name: "slow", Host: API, Piece: piece, Gate: gate}
}

// BOM puts a byte order mark before the body, as Partner Center was seen to do.
func BOM() Fault {
	return Fault{Name: "bom", Host: API, Edit: func(b []byte) []byte { return append([]byte("\ufeff"), b...) }}
}

// ExpiredToken is the 401 of a token that is no longer good.
func ExpiredToken() Fault {
	return Fault{Name: "401", Host: API, Status: 401, Code: "400", Text: "Access denied: the token is expired."}
}

// NoMFA is the 401 of a user's token without the claim of multi-factor authentication.
func NoMFA() Fault {
	return Fault{Name: "no-mfa", Host: API, Status: 401, Code: "900421", Text: "MFA required."}
}

// DuplicatePage sends the page before once more.
func DuplicatePage() Fault {
	return Fault{Name: "duplicate-page", Host: API, Path: "seek_?operation", Repeat: true}
}

// ReorderedPage turns the order of a page's items around; a manifest's blobs, too.
func ReorderedPage() Fault {
	return Fault{Name: "reordered-page", Host: API, Path: "/customers", Edit: editItems(func(items []any) []any {
		slices.Reverse(items)
		return items
	})}
}

// UnknownField adds a field to each item.
func UnknownField() Fault {
	return Fault{Name: "unknown-field", Host: API, Path: "/customers", Edit: editObjects(func(o map[string]any) {
		o["somethingNew"] = map[string]any{"deep": []any{json.Number("1"), nil}}
	})}
}

// MissingField takes a field away from each item.
func MissingField(name string) Fault {
	return Fault{Name: "missing-field", Host: API, Path: "/customers", Edit: editObjects(func(o map[string]any) { delete(o, name) })}
}

// UnknownStatus gives each item a status that nobody has heard of.
func UnknownStatus(status string) Fault {
	return Fault{Name: "unknown-status", Host: API, Path: "/subscriptions", Edit: editObjects(func(o map[string]any) { o["status"] = status })}
}

// OperationFailed ends an export with an error: 5000, No data available.
func OperationFailed() Fault {
	return onExport("operation-failed", ExportFault{Fail: "5000", Message: "No data available"})
}

// Running makes an export run for n polls.
func Running(n int) Fault { return onExport("running", ExportFault{Polls: n}) }

// Completed makes an export end as completed, not succeeded.
func Completed() Fault { return onExport("completed", ExportFault{Done: "completed"}) }

// InlineManifest puts the manifest into the operation.
func InlineManifest() Fault { return onExport("inline-manifest", ExportFault{Inline: true}) }

// ChangedETag gives the manifest another version when it is read.
func ChangedETag() Fault {
	return Fault{Name: "changed-etag", Host: Graph, Path: "/manifests/", Export: &ExportFault{NewVersion: true}}
}

// ExpiredSAS is a manifest whose signature is expired.
func ExpiredSAS() Fault {
	return Fault{Name: "expired-sas", Host: Graph, Path: "/manifests/", Export: &ExportFault{ExpiredSAS: true}}
}

// RefusedSAS is the 403 of a blob whose signature is expired.
func RefusedSAS() Fault {
	return Fault{Name: "403-sas", Host: Blob, Status: 403, Header: map[string]string{"Content-Type": "application/xml"},
		Body: storageError("AuthenticationFailed", "Signature not valid in the specified time frame")}
}

// UnknownColumn adds a column to the lines of a blob.
func UnknownColumn() Fault {
	return Fault{Name: "unknown-column", Host: Blob, Lines: &LineFault{Extra: `,"SomethingNew":{"deep":[1,null]}`}}
}

// MissingColumn takes a column away from the lines of a blob.
func MissingColumn(name string) Fault {
	return Fault{Name: "missing-column", Host: Blob, Lines: &LineFault{Missing: name}}
}

func onExport(name string, e ExportFault) Fault {
	return Fault{Name: name, Host: Graph, Path: "/export", Export: &e}
}

// ByName returns the faults that a person can call up, by name.
func ByName() map[string]Fault {
	byName := make(map[string]Fault)
	for _, f := range []Fault{
		TooMany(2), TooManyUntil(3 * time.Second), Failing(500), Failing(503), NumberCode(400, 2000), NoContent(1),
		NoContentUntil(2 * time.Second), Dropped(), CutAt(100), Slow(7, nil), BOM(), ExpiredToken(), NoMFA(), DuplicatePage(),
		ReorderedPage(), UnknownField(), MissingField("companyProfile"), UnknownStatus("resting"), OperationFailed(), Running(5),
		Completed(), InlineManifest(), ChangedETag(), ExpiredSAS(), RefusedSAS(), UnknownColumn(), MissingColumn("EntitlementId"),
	} {
		byName[f.Name] = f
	}
	return byName
}

// FaultNames returns the names of ByName, sorted.
func FaultNames() []string { return slices.Sorted(maps.Keys(ByName())) }

// editItems changes the list of items in a JSON body; another body stays as it is.
func editItems(edit func([]any) []any) func([]byte) []byte {
	return func(body []byte) []byte {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		var o map[string]any
		if dec.Decode(&o) != nil {
			return body
		}
		for _, key := range []string{"items", "value", "Value", "blobs"} {
			if items, ok := o[key].([]any); ok {
				o[key] = edit(items)
			}
		}
		return encode(o)
	}
}

// editObjects changes each item.
func editObjects(edit func(map[string]any)) func([]byte) []byte {
	return editItems(func(items []any) []any {
		for _, it := range items {
			if o, ok := it.(map[string]any); ok {
				edit(o)
			}
		}
		return items
	})
}

// encode writes JSON as the services do: < and & stand as they are.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only values of this package, all of them encodable
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
