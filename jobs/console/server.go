package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/netutil"
)

// Limits are those of connections; the zero value has those that serve uses.
type Limits struct {
	Header, Read, Write, Idle time.Duration // 0: 5 s, 10 s, 30 s, 60 s
	Connections               int           // at a time; 0: 64
}

// CheckAddress reports what keeps an address from being listened on: only this
// machine may be able to reach it.
func CheckAddress(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || !isLoopback(net.JoinHostPort(host, port)) {
		return fmt.Errorf("%q is not an address of this machine alone", listen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is not a port", port)
	} else if strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q is not written as a port", port)
	}
	return nil
}

// Server serves a console on an address of this machine.
type Server struct {
	console  *Console
	http     *http.Server
	listener net.Listener
	ended    chan error
}

// Listen takes the address and serves the console until Close.
func Listen(ctx context.Context, listen string, c *Console, limits Limits) (*Server, error) {
	if err := CheckAddress(listen); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, err
	}
	// A hosts file may give localhost any address.
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("%s is not an address of this machine alone", l.Addr()), l.Close())
	}
	limits = limits.orDefault()
	s := &Server{console: c, listener: l, ended: make(chan error, 1), http: &http.Server{
		Handler: c, ReadHeaderTimeout: limits.Header, ReadTimeout: limits.Read, WriteTimeout: limits.Write, IdleTimeout: limits.Idle,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(c.o.Log.Handler(), slog.LevelDebug),
	}}
	go func() { s.ended <- s.http.Serve(netutil.LimitListener(l, limits.Connections)) }()
	return s, nil
}

func (l Limits) orDefault() Limits {
	or := func(d, standard time.Duration) time.Duration {
		if d == 0 {
			return standard
		}
		return d
	}
	l.Header, l.Read, l.Write, l.Idle = or(l.Header, 5*time.Second), or(l.Read, 10*time.Second), or(l.Write, 30*time.Second), or(l.Idle, time.Minute)
	if l.Connections == 0 {
		l.Connections = 64
	}
	return l
}

// URL is the address of the overview.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/" }

// Close ends the server: what is being answered gets a moment to end.
func (s *Server) Close(ctx context.Context) error {
	s.console.Stop()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	err := s.http.Shutdown(closing)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // somebody reads slowly
	}
	if ended := <-s.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
