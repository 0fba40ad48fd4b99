package fakemicrosoft

import (
	"crypto/x509"
	"time"
)

// DefaultClient is the app that may sign in, if the options name no other.
const DefaultClient = "11111111-2222-4333-8444-555555555555"

// Options sets how the server behaves; the zero value is a well-behaved one.
type Options struct {
	// Marker is part of every secret that the server makes: tokens, signatures.
	Marker  string
	Latency time.Duration // waited, in earnest, before each answer
	Port    int           // the first of five ports in a row; 0: any
	Log     int           // requests kept for Requests; 0: 20,000, negative: none. Count counts all.
	// PageSize is the largest page of customers; 0: 1000.
	PageSize int
	Login    LoginOptions
	Export   ExportOptions
	Budget   BudgetOptions
	Usage    UsageOptions
	// DenyAPI and DenyGraph take the app's permission for a host away.
	DenyAPI, DenyGraph bool
	// Granted are the app's permissions for mail, groups, users and directory roles;
	// nil: all.
	Granted []string
	// SendAs are the mailboxes that the app may send from; nil: any.
	SendAs []string
	// Accepted is told of each mail before its answer goes out, by one goroutine a
	// request; nil: nobody is.
	Accepted func(Mail)
	// DirectoryPage is the largest page of those, and of an inbox; 0: as many as are asked for.
	DirectoryPage int
	// AppGraph gives the permission for Graph to the app alone: it refuses users.
	AppGraph bool
}

// LoginOptions sets the sign-in.
type LoginOptions struct {
	Cloud        string // whose resources the tenant knows: global (default), usgov or china
	ClientID     string // default DefaultClient
	ClientSecret string // default "client-secret" and the marker
	RefreshToken string // the first one; default "refresh-token" and the marker
	Code         string // of a user who signed in, good for one refresh token; default "code" and the marker
	Certificate  *x509.Certificate
	TokenLife    time.Duration // 0: an hour
	TokenUses    int           // a token is expired after so many requests; 0: never
	// RevokeOld makes each refresh token good for one use.
	RevokeOld bool
	// SecretExpired and NeedMFA refuse the sign-in, WithoutMFA lets it pass with a
	// user's token that the Partner Center API then refuses.
	SecretExpired, NeedMFA, WithoutMFA bool
	// NoAADGraph has the tenant not know https://graph.windows.net, the other resource
	// that the Partner Center API takes tokens of.
	NoAADGraph bool
}

// ExportOptions sets the partner billing export.
type ExportOptions struct {
	Polls      int           // polls that find the export running; 0: 1, negative: none
	RetryAfter int           // seconds in Retry-After while it runs; 0: 1
	Done       string        // succeeded (default) or completed
	Inline     bool          // the manifest stands in the operation
	DataFormat string        // compressedJSON (default) or compressedJSONLines
	SASLife    time.Duration // 0: 12 hours
}

// BudgetOptions sets the throttling of customers and subscriptions.
type BudgetOptions struct {
	Requests int           // in a window; 0: 500, negative: no limit
	Window   time.Duration // by the server's clock; 0: a minute
}

// UsageOptions sets the utilization records and Insights.
type UsageOptions struct {
	// NotReady is how many times utilization records are answered with 204.
	NotReady int
	PageSize int // of utilization records; 0: 1000
	// Redacted is the answer to a user who is a report viewer only, in Insights.
	Redacted bool
}

func (o Options) withDefaults() Options {
	def(&o.Log, 20000)
	def(&o.PageSize, 1000)
	def(&o.Login.ClientID, DefaultClient)
	def(&o.Login.ClientSecret, "client-secret"+o.Marker)
	def(&o.Login.Code, "code"+o.Marker)
	def(&o.Login.RefreshToken, "refresh-token"+o.Marker)
	def(&o.Login.TokenLife, time.Hour)
	def(&o.Export.Polls, 1)
	def(&o.Export.RetryAfter, 1)
	def(&o.Export.Done, "succeeded")
	def(&o.Export.DataFormat, "compressedJSON")
	def(&o.Export.SASLife, 12*time.Hour)
	def(&o.Budget.Requests, 500)
	def(&o.Budget.Window, time.Minute)
	def(&o.Usage.PageSize, 1000)
	return o
}

// def gives v a default.
func def[T comparable](v *T, d T) {
	if zero := *new(T); *v == zero {
		*v = d
	}
}
