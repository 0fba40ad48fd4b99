// Package inbox reads what comes back to the mailbox that reports are sent from.
//
//  1. A [Box] yields the messages that nobody has dealt with yet; [Box.Done] marks one as
//     read. None is ever deleted;
//  2. [Judge] says what a message is: a delivery status notification (RFC 3464), an
//     automatic answer (RFC 3834), list mail, or something that a person wrote.
//
// What becomes of it, package jobs decides. Messages come from anybody: nothing that they
// say is more than a claim.
package inbox

import (
	"context"
	"iter"
)

// MaxMessage is how much of a message is read, in bytes; what follows is left out.
const MaxMessage = 10 << 20

// Message is one message of a box.
type Message struct {
	ID  string // of the box's own, for Done
	Raw []byte // RFC 5322 bytes, at most MaxMessage
}

// Box is a mailbox. It is used by one goroutine.
type Box interface {
	// Messages yields the messages that are not read yet. One that cannot be read is an
	// error of its own; the others follow.
	Messages(ctx context.Context) iter.Seq2[Message, error]
	// Done marks a message as read.
	Done(ctx context.Context, m Message) error
}
