// Package mailerr gives an error the one fact that mail needs of it: may the
// sender try again? The class is set where a failure is understood and read at
// the edge of a protocol, which turns it into a 4yz or a 5yz reply.
package mailerr

import "errors"

// Class says whether trying again can help (RFC 5321 §4.2.1).
type Class int

const (
	// Transient failures may go away: the peer gets a 4yz reply.
	Transient Class = 4
	// Permanent failures will not: the peer gets a 5yz reply.
	Permanent Class = 5
)

// String returns "transient" or "permanent".
func (c Class) String() string {
	if c == Permanent {
		return "permanent"
	}
	return "transient"
}

// classed is what an error of a known class implements.
type classed interface{ MailClass() Class }

// ClassOf returns the class of err, which is not nil. One that nobody classed
// is Transient: a fault of ours may cost the sender a retry, never the message.
// The outermost class in err's chain wins.
func ClassOf(err error) Class {
	var c classed
	if errors.As(err, &c) {
		return c.MailClass()
	}
	return Transient
}

// With returns err with the class c, and nil for a nil err. The text of err is
// not changed, and errors.Is and errors.As still see it.
func With(c Class, err error) error {
	if err == nil {
		return nil
	}
	return &classError{class: c, err: err}
}

type classError struct {
	class Class
	err   error
}

func (e *classError) Error() string    { return e.err.Error() }
func (e *classError) Unwrap() error    { return e.err }
func (e *classError) MailClass() Class { return e.class }
