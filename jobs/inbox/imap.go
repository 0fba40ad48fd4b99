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
	Folder   string // empty: INBOX
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
	case o.Username == "" || o.Password == "":
		return nil, errors.New("imap: username or password is missing")
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

func (b *IMAP) open() error {
	if b.client != nil {
		return nil
	}
	config := &tls.Config{ServerName: b.o.Host, MinVersion: tls.VersionTLS12}
	if b.o.CA != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(b.o.CA) // checked by NewIMAP
	}
	dial := imapclient.DialTLS
	if b.o.TLS == "starttls" {
		dial = imapclient.DialStartTLS
	}
	address := net.JoinHostPort(b.o.Host, strconv.Itoa(b.o.Port))
	c, err := dial(address, &imapclient.Options{TLSConfig: config})
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	if err := c.Login(b.o.Username, b.o.Password).Wait(); err != nil {
		return errors.Join(fmt.Errorf("log in to %s as %s: %w", address, b.o.Username, err), c.Close())
	}
	if _, err := c.Select(b.o.Folder, nil).Wait(); err != nil {
		return errors.Join(fmt.Errorf("open the folder %s: %w", b.o.Folder, err), c.Close())
	}
	b.client = c
	return nil
}

// Messages yields what is not seen, in the folder's order. Reading does not mark.
func (b *IMAP) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if err := cmp.Or(ctx.Err(), b.open()); err != nil {
			yield(Message{}, err)
			return
		}
		c := b.client
		// The library knows no context: a connection that is closed ends what waits for it.
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
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
func (b *IMAP) Done(_ context.Context, m Message) error {
	uid, err := strconv.ParseUint(m.ID, 10, 32)
	if err != nil {
		return fmt.Errorf("message %q is none of this box", m.ID)
	}
	if err := b.open(); err != nil {
		return err
	}
	return b.client.Store(imap.UIDSetNum(imap.UID(uid)), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close()
}
