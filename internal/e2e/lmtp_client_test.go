//go:build linux && e2e

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

const (
	lmtpSocket = "/var/spool/postfix/gatepost/lmtp"
	mailRoot   = "/var/vmail"
)

// lmtpClient speaks to lmtpd itself: what Postfix would change reaches it as it
// is.
type lmtpClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialLMTP(t *testing.T) *lmtpClient {
	t.Helper()
	conn, err := net.Dial("unix", lmtpSocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &lmtpClient{t, conn, bufio.NewReader(conn)}
	c.reply()
	c.say("LHLO client.example.test")
	return c
}

// reply returns the last line of the next reply.
func (c *lmtpClient) reply() string {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimSpace(line)
		}
	}
}

func (c *lmtpClient) say(line string) string {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", line); err != nil {
		c.t.Fatal(err)
	}
	return c.reply()
}

// deliver sends content, which has CRLF line ends and ends in one unless it is
// empty, and returns the reply.
func (c *lmtpClient) deliver(to string, content []byte) string {
	c.t.Helper()
	if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	c.say("MAIL FROM:<sender@example.net>")
	if r := c.say("RCPT TO:<" + to + ">"); !strings.HasPrefix(r, "250 ") {
		c.t.Fatalf("RCPT TO:<%s>: %s", to, r)
	}
	c.say("DATA")
	stuffed := bytes.ReplaceAll(append([]byte("\r\n"), content...), []byte("\r\n."), []byte("\r\n.."))[2:]
	if _, err := c.conn.Write(append(stuffed, ".\r\n"...)); err != nil {
		c.t.Fatal(err)
	}
	return c.reply()
}

// savedID returns the id in a 250 after the message, which is in its Received
// field too.
func savedID(t *testing.T, reply string) string {
	t.Helper()
	f := strings.Fields(reply)
	if len(f) != 5 || f[0] != "250" || f[4] != "saved" {
		t.Fatalf("not delivered: %s", reply)
	}
	return f[3]
}

// maildirOf returns the Maildir of a user.
func maildirOf(user string) string {
	local, domain, _ := strings.Cut(user, "@")
	return filepath.Join(mailRoot, domain, local, "Maildir")
}

// messageFiles returns the messages in a folder on the disk by the id of their
// delivery, without the fields that delivery put on top.
func messageFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, sub, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf(",S=%d,W=%d", len(b), len(b)+lone(b)); !strings.Contains(e.Name(), want) {
				t.Errorf("%s/%s has no %s", sub, e.Name(), want)
			}
			id, content := splitTrace(b, "\n")
			out[id] = content
		}
	}
	return out
}

// lone counts the LFs without a CR before them.
func lone(b []byte) int { return bytes.Count(b, []byte("\n")) - bytes.Count(b, []byte("\r\n")) }

// splitTrace takes the fields of our delivery off a message and returns its id.
func splitTrace(msg []byte, nl string) (id string, content []byte) {
	_, rest, ok := bytes.Cut(msg, []byte(nl+"\tby "+lab.Hostname+" with LMTP"+nl+"\tid "))
	if !ok {
		return "", msg
	}
	name, rest, _ := bytes.Cut(rest, []byte(nl))
	for len(rest) > 0 && rest[0] == '\t' {
		_, rest, _ = bytes.Cut(rest, []byte(nl))
	}
	return string(name), rest
}
