package outgoing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/gatepost/gatepost/internal/ascii"
	"github.com/gatepost/gatepost/internal/mailerr"
)

const (
	dialTimeout = 10 * time.Second
	// sendTimeout bounds a whole transaction with a smtpd on this host, whose
	// milters look at the message too.
	sendTimeout = 5 * time.Minute
	maxPassword = 1024
)

// smtpSender speaks SMTP to the smtpd of the settings.
type smtpSender struct{ cfg func() *Config }

func (s *smtpSender) send(ctx context.Context, e envelope, raw []byte) error {
	cfg := s.cfg()
	password, err := readPassword(cfg.PasswordFile)
	if err != nil {
		return err // transient: an admin mends it
	}
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", cfg.Address)
	if err != nil {
		return fmt.Errorf("connect to the smtpd for mail of our own: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	c := smtp.NewClient(conn)
	c.CommandTimeout, c.SubmissionTimeout = sendTimeout, sendTimeout
	defer c.Close()
	err = transact(c, *cfg, password, e, raw)
	var some *partly
	if err != nil && !errors.As(err, &some) {
		return classed(err)
	}
	_ = c.Quit() // the message is taken
	return err
}

func transact(c *smtp.Client, cfg Config, password string, e envelope, raw []byte) error {
	if err := c.Hello(cfg.Hostname); err != nil {
		return fmt.Errorf("EHLO: %w", err)
	}
	if err := c.Auth(sasl.NewPlainClient("", cfg.User, password)); err != nil {
		// A wrong password is the admin's to mend, not the message's fault.
		return mailerr.With(mailerr.Transient, fmt.Errorf("log in as %s: %w", cfg.User, err))
	}
	if err := c.Mail(e.MailFrom.String(), options(c, e, raw)); err != nil {
		return fmt.Errorf("MAIL FROM: %w", err)
	}
	refused, err := recipients(c, e)
	if err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	if _, err := w.Write(crlf(raw)); err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end of DATA: %w", err)
	}
	if refused != nil {
		return refused
	}
	return nil
}

// partly means that the message was taken for some recipients, and will never be
// for the others.
type partly struct {
	refused error
	to      []reversePath
}

func (p *partly) Error() string { return p.refused.Error() }
func (p *partly) Unwrap() error { return p.refused }

// recipients names them all. One that is refused for good keeps the message from
// nobody else; one that is to be tried later keeps it from all, until then.
func recipients(c *smtp.Client, e envelope) (refused *partly, err error) {
	var all []error
	var to []reversePath
	for _, r := range e.RcptTo {
		err := c.Rcpt(r.String(), nil)
		if err == nil {
			continue
		}
		err = classed(fmt.Errorf("RCPT TO %s: %w", r, err))
		if mailerr.ClassOf(err) != mailerr.Permanent {
			return nil, err
		}
		all, to = append(all, err), append(to, r)
	}
	if len(all) == len(e.RcptTo) {
		return nil, mailerr.With(mailerr.Permanent, errors.Join(all...))
	}
	if len(all) == 0 {
		return nil, nil
	}
	return &partly{errors.Join(all...), to}, nil
}

// options asks for SMTPUTF8 (RFC 6531) where an address or the header needs it
// and the smtpd offers it. The library asks for 8BITMIME by itself.
func options(c *smtp.Client, e envelope, raw []byte) *smtp.MailOptions {
	head, _, _ := bytes.Cut(bytes.ReplaceAll(raw[:min(len(raw), 256<<10)], []byte("\r\n"), []byte("\n")), []byte("\n\n"))
	utf8 := !ascii.Only(head) || !ascii.Only(e.MailFrom.String())
	for _, r := range e.RcptTo {
		utf8 = utf8 || !ascii.Only(r.String())
	}
	offered, _ := c.Extension("SMTPUTF8")
	return &smtp.MailOptions{UTF8: utf8 && offered}
}

// classed gives err the class of the reply in it, where nobody classed it.
func classed(err error) error {
	var class interface{ MailClass() mailerr.Class }
	var reply *smtp.SMTPError
	if !errors.As(err, &class) && errors.As(err, &reply) && reply.Code/100 == 5 {
		return mailerr.With(mailerr.Permanent, err)
	}
	return err
}

// crlf returns b with CRLF line ends and one at its end.
func crlf(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	if !bytes.HasSuffix(b, []byte("\n")) {
		b = append(b, '\n')
	}
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

// readPassword returns the first line of the file.
func readPassword(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("password for mail of our own: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	if len(line) == 0 || len(line) > maxPassword {
		return "", fmt.Errorf("password for mail of our own: the first line of %s has %d bytes", path, len(line))
	}
	return string(line), nil
}
