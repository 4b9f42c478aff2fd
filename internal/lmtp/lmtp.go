// Package lmtp hands messages to an LMTP server on a Unix socket (RFC 2033), one
// message for one mailbox in one transaction.
package lmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/gatepost/gatepost/internal/ascii"
)

// ErrAway means that the server gave no answer. It may have taken the message.
var ErrAway = errors.New("the delivery daemon does not answer")

// Client hands messages to one server. It may be used concurrently.
type Client struct {
	// Path is the socket, Hostname what we call ourselves.
	Path, Hostname string
	// Timeout is for one message.
	Timeout time.Duration
}

// Deliver hands msg, which has about size bytes and CRLF line ends, to the server
// for one mailbox, and returns its reply. From is "" for the null reverse-path. An
// error that is not ErrAway is the server's refusal: code, enhanced code, text.
func (l Client) Deliver(ctx context.Context, from, to string, size int64, msg io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", l.Path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAway, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	answer, err := l.transact(c, from, to, size, msg)
	var refused *smtp.SMTPError
	switch {
	case err == nil:
		return answer, nil
	case errors.As(err, &refused):
		e := refused.EnhancedCode
		return "", fmt.Errorf("%d %d.%d.%d %s", refused.Code, e[0], e[1], e[2], refused.Message)
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return "", fmt.Errorf("%w: %w", ErrAway, err)
}

func (l Client) transact(c *smtp.Client, from, to string, size int64, msg io.Reader) (string, error) {
	if err := c.Hello(l.Hostname); err != nil {
		return "", err
	}
	utf8 := !ascii.Only(from) || !ascii.Only(to)
	if err := c.Mail(from, &smtp.MailOptions{Size: size, UTF8: utf8}); err != nil {
		return "", err
	}
	if err := c.Rcpt(to, nil); err != nil {
		return "", err
	}
	w, err := c.Data()
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(w, msg); err != nil {
		return "", err // without its end nothing is delivered
	}
	answers, err := w.CloseWithLMTPResponse()
	if err != nil {
		return "", first(err)
	}
	_ = c.Quit() // the copy is safe
	for _, a := range answers {
		return "250 " + a.StatusText, nil
	}
	return "", io.ErrUnexpectedEOF
}

// first takes the one refusal out of what the library collects.
func first(err error) error {
	var all smtp.LMTPDataError
	if errors.As(err, &all) {
		for _, e := range all {
			return e
		}
	}
	return err
}
