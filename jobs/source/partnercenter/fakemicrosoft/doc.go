// Package fakemicrosoft is Microsoft's side of an extraction, for tests and for
// trying the program by hand: sign-in, the Partner Center API, Microsoft Graph
// with its blobs, and a storage container with cost exports, each on a port of
// its own on loopback. It is written from what those services document and from
// what programs have seen them do, never from a client, so that a client's tests
// can trust it.
//
// A Partner is the truth. A Server tells it over HTTP:
//
//	p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 20, Days: 40, Today: now()})
//	s := fakemicrosoft.New(p, now)
//	at, err := s.Start()
//	defer s.Close()
//	s.Script(fakemicrosoft.TooMany(2).On(fakemicrosoft.API, "/subscriptions").At(3))
//
// Mail that is sent through Graph can be answered, or come back: what is posted to the
// path /control/inbox/MAILBOX of Graph's port, as MIME and without a token, is in that
// inbox (Receive does the same), and /control/sent/N is the Nth mail that was sent.
//
// Afterwards Requests tells what was asked, Count how often, Leaks which token
// went to a host it was not made for, and Secrets what must stand in no log.
package fakemicrosoft
