//go:build linux

package lab

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// IMAP is a small client: one command at a time, answers as they came.
type IMAP struct {
	Greeting string
	conn     net.Conn
	r        *bufio.Reader
	tag      int
}

// Answer is what the server said to one command.
type Answer struct {
	Status   string   // the tagged line without its tag: "OK Logged in"
	Untagged []string // each with its literal in place of {n}
	Literals [][]byte
}

// OK reports whether the server did what was asked.
func (a Answer) OK() bool { return strings.HasPrefix(a.Status, "OK") }

// IMAP connects to port 993 from an address of the lab, checks the
// certificate against the lab's CA, and reads the greeting.
func (l *Lab) IMAP(from string) (*IMAP, error) {
	raw, err := l.dial(from, net.JoinHostPort(ServerIP, "993"))
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, l.clientTLS())
	c := &IMAP{conn: conn, r: bufio.NewReader(conn)}
	if c.Greeting, err = c.line(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("imap greeting: %w", err)
	}
	return c, nil
}

func (c *IMAP) line() (string, error) {
	s, err := c.r.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

// Command sends a command and reads up to its tagged answer.
func (c *IMAP) Command(format string, args ...any) (Answer, error) {
	c.tag++
	tag := fmt.Sprintf("a%d ", c.tag)
	cmd := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(c.conn, tag+cmd+"\r\n"); err != nil {
		return Answer{}, err
	}
	var a Answer
	for {
		line, err := c.line()
		if err != nil {
			word, _, _ := strings.Cut(cmd, " ")
			return a, fmt.Errorf("imap answer to %s: %w", word, err)
		}
		if status, ok := strings.CutPrefix(line, tag); ok {
			a.Status = status
			return a, nil
		}
		for {
			n, ok := literal(line)
			if !ok {
				break
			}
			b := make([]byte, n)
			if _, err := io.ReadFull(c.r, b); err != nil {
				return a, err
			}
			a.Literals = append(a.Literals, b)
			rest, err := c.line()
			if err != nil {
				return a, err
			}
			line += string(b) + rest
		}
		a.Untagged = append(a.Untagged, line)
	}
}

// literal returns the size of the literal that the line announces at its end.
func literal(line string) (int, bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	n, err := strconv.Atoi(line[open+1 : len(line)-1])
	return n, err == nil && n >= 0 && n < 64<<20
}

// Login returns the server's answer to LOGIN.
func (c *IMAP) Login(user, password string) (Answer, error) {
	return c.Command("LOGIN %s %s", quoted(user), quoted(password))
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Close logs out and closes.
func (c *IMAP) Close() {
	c.Command("LOGOUT")
	c.conn.Close()
}

// errNotYet says that a message is not in the mailbox yet.
var errNotYet = errors.New("no such message")

// fetchOne returns the message with that Message-ID from the mailbox.
func (c *IMAP) fetchOne(mailbox, messageID string) ([]byte, error) {
	// SELECT again shows what has arrived since.
	a, err := c.Command("SELECT %s", quoted(mailbox))
	if err != nil {
		return nil, err
	}
	if !a.OK() {
		return nil, fmt.Errorf("SELECT %s: %s", mailbox, a.Status)
	}
	a, err = c.Command("SEARCH HEADER Message-ID %s", quoted(messageID))
	if err != nil {
		return nil, err
	}
	for _, line := range a.Untagged {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != "SEARCH" {
			continue
		}
		a, err := c.Command("FETCH %s BODY.PEEK[]", f[len(f)-1])
		if err != nil {
			return nil, err
		}
		if len(a.Literals) != 1 {
			return nil, fmt.Errorf("FETCH: %s", a.Status)
		}
		return a.Literals[0], nil
	}
	return nil, errNotYet
}

// Mailbox names one mailbox and who reads it.
type Mailbox struct {
	User, Password string
	Name           string // "" is INBOX
	From           string // the client's address; "" is UserIP
}

// Read logs in over IMAP and waits until the mailbox holds the message with
// that Message-ID. It returns the message as FETCH gave it.
func (l *Lab) Read(box Mailbox, messageID string) ([]byte, error) {
	c, err := l.open(&box)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var msg []byte
	err = l.Until(fmt.Sprintf("%s in %s of %s", messageID, box.Name, box.User), func() error {
		var err error
		msg, err = c.fetchOne(box.Name, messageID)
		return err
	})
	return msg, err
}

// Holds reports whether the mailbox holds the message now.
func (l *Lab) Holds(box Mailbox, messageID string) (bool, error) {
	c, err := l.open(&box)
	if err != nil {
		return false, err
	}
	defer c.Close()
	_, err = c.fetchOne(box.Name, messageID)
	if errors.Is(err, errNotYet) {
		return false, nil
	}
	return err == nil, err
}

func (l *Lab) open(box *Mailbox) (*IMAP, error) {
	if box.From == "" {
		box.From = UserIP
	}
	if box.Name == "" {
		box.Name = "INBOX"
	}
	c, err := l.IMAP(box.From)
	if err != nil {
		return nil, err
	}
	a, err := c.Login(box.User, box.Password)
	if err == nil && !a.OK() {
		err = fmt.Errorf("LOGIN: %s", a.Status)
	}
	if err != nil {
		c.conn.Close()
		return nil, err
	}
	return c, nil
}
