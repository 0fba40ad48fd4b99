package inbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"net"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// IMAPOptions say how to reach a mailbox over IMAP.
type IMAPOptions struct {
	Host     string
	Port     int    // 0: 993, or 143 with TLS "starttls"
	TLS      string // "tls" from the first byte (default) or "starttls"
	CA       []byte // PEM of a certificate authority of one's own; nil: the system's
	Username string
	Password string
	// Token returns an access token to log in with by XOAUTH2, another one than was
	// refused; empty: any. nil: the password is used.
	Token  func(ctx context.Context, refused string) (string, error)
	Folder string // empty: INBOX
}

// IMAP is a folder of a mailbox on a server (RFC 9051, RFC 3501): what has no flag \Seen,
// which Done sets. The connection is made by the first Messages, and always encrypted.
type IMAP struct {
	o      IMAPOptions
	client *imapclient.Client
}

// NewIMAP checks the options. The caller must Close it.
func NewIMAP(o IMAPOptions) (*IMAP, error) {
	o.TLS, o.Folder = cmp.Or(o.TLS, "tls"), cmp.Or(o.Folder, "INBOX")
	switch {
	case o.Host == "":
		return nil, errors.New("imap: no host is given")
	case o.TLS != "tls" && o.TLS != "starttls":
		return nil, fmt.Errorf("imap: tls %q: want tls or starttls", o.TLS)
	case o.Username == "" || o.Password == "" && o.Token == nil:
		return nil, errors.New("imap: username or password is missing")
	case o.Token != nil && o.TLS != "tls":
		return nil, errors.New("imap: a log-in with a token wants tls: tls")
	case o.CA != nil && !x509.NewCertPool().AppendCertsFromPEM(o.CA):
		return nil, errors.New("imap: ca holds no certificate in PEM form")
	}
	if o.Port == 0 {
		o.Port = map[string]int{"tls": 993, "starttls": 143}[o.TLS]
	}
	return &IMAP{o: o}, nil
}

// Close ends the connection, if there is one.
func (b *IMAP) Close() error {
	if b.client == nil {
		return nil
	}
	err := errors.Join(b.client.Logout().Wait(), b.client.Close())
	b.client = nil
	return err
}

// open connects, logs in and selects the folder, if there is no connection yet. A token
// that is refused, since it ended early or was revoked, is renewed once.
func (b *IMAP) open(ctx context.Context) error {
	if b.client != nil {
		return nil
	}
	if b.o.Token == nil {
		return b.enter(ctx, func(c *imapclient.Client) error { return c.Login(b.o.Username, b.o.Password).Wait() })
	}
	for refused := ""; ; {
		token, err := b.o.Token(ctx, refused) // before the connection, which would not wait for it
		if err != nil {
			return fmt.Errorf("log in to %s as %s: %w", b.o.Host, b.o.Username, err)
		}
		err = b.enter(ctx, b.bear(token))
		if refused != "" || !errors.Is(err, errLogin) || !isRefused(err) {
			return err
		}
		refused = token
	}
}

// errLogin marks an error of the log-in, not of what comes before or after it.
var errLogin = errors.New("log in")

// bear logs in with a token.
func (b *IMAP) bear(token string) func(*imapclient.Client) error {
	return func(c *imapclient.Client) error {
		if caps := c.Caps(); caps != nil && !caps.Has(imap.AuthCap(mechanism)) {
			return errors.New("the server offers no AUTH=" + mechanism + ": set mail.inbox.auth: plain")
		}
		x := &xoauth2{user: b.o.Username, token: token}
		return x.explain(c.Authenticate(x))
	}
}

// enter connects, logs in and selects the folder.
func (b *IMAP) enter(ctx context.Context, login func(*imapclient.Client) error) error {
	address := net.JoinHostPort(b.o.Host, strconv.Itoa(b.o.Port))
	c, err := b.connect(ctx, address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	// The library knows no context: a connection that is closed ends what waits for it.
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if err := login(c); err != nil {
		return errors.Join(fmt.Errorf("%w to %s as %s: %w", errLogin, address, b.o.Username, err), c.Close())
	}
	if _, err := c.Select(b.o.Folder, nil).Wait(); err != nil {
		return errors.Join(fmt.Errorf("open the folder %s: %w", b.o.Folder, explainSelect(b.o.Username, err)), c.Close())
	}
	b.client = c
	return nil
}

func (b *IMAP) connect(ctx context.Context, address string) (*imapclient.Client, error) {
	config := &tls.Config{ServerName: b.o.Host, MinVersion: tls.VersionTLS12, NextProtos: []string{"imap"}}
	if b.o.CA != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(b.o.CA) // checked by NewIMAP
	}
	if b.o.TLS == "starttls" {
		config.NextProtos = nil
		return imapclient.DialStartTLS(address, &imapclient.Options{TLSConfig: config})
	}
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 30 * time.Second}, Config: config}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return imapclient.New(emptyAnswer{conn}, nil), nil
}

// Messages yields what is not seen, in the folder's order. Reading does not mark.
func (b *IMAP) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if err := cmp.Or(ctx.Err(), b.open(ctx)); err != nil {
			yield(Message{}, err)
			return
		}
		c := b.client
		stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // as in enter
		defer stop()
		found, err := c.UIDSearch(&imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}}, nil).Wait()
		if err != nil {
			yield(Message{}, fmt.Errorf("search the folder %s: %w", b.o.Folder, err))
			return
		}
		for _, uid := range found.AllUIDs() {
			m := Message{ID: strconv.FormatUint(uint64(uid), 10)}
			m.Raw, err = b.read(uid)
			if !yield(m, err) {
				return
			}
		}
	}
}

func (b *IMAP) read(uid imap.UID) ([]byte, error) {
	section := &imap.FetchItemBodySection{Peek: true, Partial: &imap.SectionPartial{Size: MaxMessage}}
	all, err := b.client.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	switch {
	case err != nil:
		return nil, err
	case len(all) != 1 || len(all[0].BodySection) != 1:
		return nil, errors.New("the server does not give it any more")
	}
	return all[0].BodySection[0].Bytes, nil
}

// Done sets the flag \Seen.
func (b *IMAP) Done(ctx context.Context, m Message) error {
	uid, err := strconv.ParseUint(m.ID, 10, 32)
	if err != nil {
		return fmt.Errorf("message %q is none of this box", m.ID)
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	return b.client.Store(imap.UIDSetNum(imap.UID(uid)), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close()
}
