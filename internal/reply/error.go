package reply

import (
	"errors"

	"github.com/gatepost/gatepost/internal/mailerr"
)

// Error is an error with the reply that the peer shall get for it. Its own
// text, the cause, is for the log.
type Error struct {
	Reply Reply
	Err   error
}

// WithError returns err with the reply r. Its class is that of r.
func WithError(r Reply, err error) error { return &Error{Reply: r, Err: err} }

// Error returns the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reply.String()
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// MailClass returns the class of the reply.
func (e *Error) MailClass() mailerr.Class { return e.Reply.Class() }

// carried returns the outermost reply in err's chain, unless a class that was
// set outside of it says otherwise: the outermost class wins.
func carried(err error) (Reply, bool) {
	var e *Error
	if !errors.As(err, &e) || e.Reply.IsZero() || e.Reply.Class() != mailerr.ClassOf(err) {
		return Reply{}, false
	}
	return e.Reply, true
}
