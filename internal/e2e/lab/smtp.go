//go:build linux

package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"time"
)

// SMTP is a client that keeps every reply as the server gave it.
type SMTP struct {
	Greeting Reply
	Extended Reply // the answer to EHLO
	// Dialogue holds the lines that went over the wire, each with "C: " or
	// "S: " before it; the message itself is one line that tells its size,
	// and an AUTH command does not show the password.
	Dialogue []string

	conn net.Conn
	text *textproto.Conn
	lab  *Lab
}

// Dial connects to an SMTP server from an address of the lab and waits for
// the greeting. Port 465 speaks TLS from the start.
func (l *Lab) Dial(from, to string) (*SMTP, error) {
	conn, err := l.dial(from, to)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(to, ":465") {
		conn = tls.Client(conn, l.clientTLS())
	}
	c := &SMTP{conn: conn, text: textproto.NewConn(conn), lab: l}
	if c.Greeting, err = c.read(); err != nil {
		c.Close()
		return nil, fmt.Errorf("greeting of %s to %s: %w", to, from, err)
	}
	return c, nil
}

// dial opens a TCP connection from the address, with a deadline that covers
// the whole conversation.
func (l *Lab) dial(from, to string) (net.Conn, error) {
	addr, err := netip.ParseAddr(from)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)),
		Timeout:   patience,
	}
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(2 * patience))
}

func (c *SMTP) read() (Reply, error) {
	code, text, err := c.text.ReadResponse(0)
	var proto *textproto.Error
	if errors.As(err, &proto) {
		code, text, err = proto.Code, proto.Msg, nil
	}
	r := Reply{Code: code, Text: text}
	if err == nil {
		for line := range strings.SplitSeq(r.String(), "\n") {
			c.Dialogue = append(c.Dialogue, "S: "+line)
		}
	}
	return r, err
}

// Command sends one line and returns the reply, whatever its code.
func (c *SMTP) Command(line string) (Reply, error) {
	return c.command(line, line)
}

func (c *SMTP) command(line, shown string) (Reply, error) {
	c.Dialogue = append(c.Dialogue, "C: "+shown)
	if err := c.text.PrintfLine("%s", line); err != nil {
		return Reply{}, fmt.Errorf("%s: %w", shown, err)
	}
	r, err := c.read()
	if err != nil {
		return Reply{}, fmt.Errorf("reply to %s: %w", shown, err)
	}
	return r, nil
}

// Hello sends EHLO.
func (c *SMTP) Hello(name string) error {
	r, err := c.Command("EHLO " + name)
	if err == nil && r.Code != 250 {
		err = fmt.Errorf("EHLO: %v", r)
	}
	c.Extended = r
	return err
}

// StartTLS begins TLS and checks the certificate against the lab's CA; the
// caller says EHLO again.
func (c *SMTP) StartTLS() error {
	r, err := c.Command("STARTTLS")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return fmt.Errorf("STARTTLS: %v", r)
	}
	t := tls.Client(c.conn, c.lab.clientTLS())
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("STARTTLS: %w", err)
	}
	c.conn, c.text = t, textproto.NewConn(t)
	return nil
}

// Auth logs in with PLAIN.
func (c *SMTP) Auth(user, password string) (Reply, error) {
	b := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	return c.command("AUTH PLAIN "+b, "AUTH PLAIN ("+user+" and a password)")
}

// Data sends DATA and the message, and returns the reply to its end, or to
// DATA itself when that is no 354.
func (c *SMTP) Data(message []byte) (Reply, error) {
	r, err := c.Command("DATA")
	if err != nil || r.Code != 354 {
		return r, err
	}
	w := c.text.DotWriter()
	w.Write(message)
	if err := w.Close(); err != nil {
		return Reply{}, fmt.Errorf("send message: %w", err)
	}
	c.Dialogue = append(c.Dialogue, fmt.Sprintf("C: (the message, %d bytes, and the final dot)", len(message)))
	if r, err = c.read(); err != nil {
		return Reply{}, fmt.Errorf("reply to the message: %w", err)
	}
	return r, nil
}

// TLSState describes the connection's TLS, "" without.
func (c *SMTP) TLSState() string {
	t, ok := c.conn.(*tls.Conn)
	if !ok {
		return ""
	}
	s := t.ConnectionState()
	return fmt.Sprintf("%s, certificate of %s verified", tls.VersionName(s.Version), s.PeerCertificates[0].DNSNames[0])
}

// Close says QUIT, if that still works, and closes.
func (c *SMTP) Close() {
	c.text.PrintfLine("QUIT")
	c.conn.Close()
}

// Mail is one message on its way through SMTP.
type Mail struct {
	From     string // the client's address; required
	To       string // host:port; "" is port 25 of the server
	Helo     string // "" is mail.example.com
	User     string // with a password: STARTTLS and login first
	Password string
	MailFrom string
	UTF8     bool // ask for SMTPUTF8 (RFC 6531)
	RcptTo   []string
	Data     []byte // lines end in LF or CRLF
}

// Outcome is where a [Mail] ended: the last reply, and to which command.
type Outcome struct {
	At       string // "AUTH", "MAIL", "RCPT", "DATA" or "message"
	Reply    Reply
	Refused  []Reply // replies to recipients that were refused
	Dialogue []string
}

// Send takes the mail through one SMTP session. An error is a broken
// connection; a refusal is an outcome. With some recipients refused the rest
// goes on.
func (l *Lab) Send(m Mail) (Outcome, error) {
	if m.To == "" {
		m.To = net.JoinHostPort(ServerIP, "25")
	}
	if m.Helo == "" {
		m.Helo = "mail.example.com"
	}
	c, err := l.Dial(m.From, m.To)
	if err != nil {
		return Outcome{}, err
	}
	defer c.Close()
	out, err := c.deliver(m)
	out.Dialogue = c.Dialogue
	return out, err
}

func (c *SMTP) deliver(m Mail) (Outcome, error) {
	if c.Greeting.Code != 220 {
		return Outcome{At: "greeting", Reply: c.Greeting}, nil
	}
	if err := c.Hello(m.Helo); err != nil {
		return Outcome{}, err
	}
	if m.User != "" {
		if err := c.secure(m.Helo); err != nil {
			return Outcome{}, err
		}
		if r, err := c.Auth(m.User, m.Password); err != nil || r.Code != 235 {
			return Outcome{At: "AUTH", Reply: r}, err
		}
	}
	from := "MAIL FROM:<" + m.MailFrom + ">"
	if m.UTF8 {
		from += " SMTPUTF8"
	}
	return c.transaction(from, m.RcptTo, m.Data)
}

func (c *SMTP) secure(helo string) error {
	if _, ok := c.conn.(*tls.Conn); ok {
		return nil
	}
	if err := c.StartTLS(); err != nil {
		return err
	}
	return c.Hello(helo)
}

// Transaction sends one message on the open session.
func (c *SMTP) Transaction(mailFrom string, rcptTo []string, data []byte) (Outcome, error) {
	return c.transaction("MAIL FROM:<"+mailFrom+">", rcptTo, data)
}

func (c *SMTP) transaction(from string, rcptTo []string, data []byte) (Outcome, error) {
	var out Outcome
	r, err := c.Command(from)
	if err != nil || r.Code != 250 {
		return Outcome{At: "MAIL", Reply: r}, err
	}
	accepted := 0
	for _, to := range rcptTo {
		r, err := c.Command("RCPT TO:<" + to + ">")
		if err != nil {
			return out, err
		}
		if r.Code == 250 {
			accepted++
			continue
		}
		out.Refused = append(out.Refused, r)
		out.At, out.Reply = "RCPT", r
	}
	if accepted == 0 {
		return out, nil
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	out.At = "message"
	out.Reply, err = c.Data(data)
	return out, err
}
