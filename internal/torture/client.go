package torture

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// refused is a reply that Postfix would bounce for.
type refused struct{ line string }

func (r refused) Error() string { return "a permanent refusal: " + r.line }

// hand gives m to the server at path as Postfix does, the envelope in one write,
// QUIT right behind the dot, and calls took for each recipient that got its 250.
// It returns refused for a 5yz; all else that goes wrong leaves the rest in the
// queue.
func hand(ctx context.Context, path string, m mail, content []byte, took func(user string)) error {
	c, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	if err := expect(in, "220"); err != nil {
		return err
	}
	if err := say(c, in, "LHLO client.example.test\r\n", "250"); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("MAIL FROM:<sender@example.net>\r\n")
	for _, u := range m.waiting {
		b.WriteString("RCPT TO:<" + u + "@" + domain + ">\r\n")
	}
	if err := say(c, in, b.String()+"DATA\r\n", "250"); err != nil {
		return err
	}
	for range m.waiting {
		if err := expect(in, "250"); err != nil {
			return err
		}
	}
	if err := expect(in, "354"); err != nil {
		return err
	}
	if _, err := c.Write(append(append([]byte(nil), content...), ".\r\nQUIT\r\n"...)); err != nil {
		return err
	}
	var first error
	for _, u := range m.waiting {
		switch err := expect(in, "250"); {
		case err == nil:
			took(u)
		case first == nil:
			first = err
		}
	}
	return first
}

func say(c net.Conn, in *bufio.Reader, line, want string) error {
	if _, err := io.WriteString(c, line); err != nil {
		return err
	}
	return expect(in, want)
}

// expect reads one reply, whatever its lines.
func expect(in *bufio.Reader, want string) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 {
			return fmt.Errorf("no reply: %q", line)
		}
		switch {
		case line[3] == '-':
			continue
		case line[0] == '5':
			return refused{strings.TrimSpace(line)}
		case line[:3] != want:
			return fmt.Errorf("%q, not %s", strings.TrimSpace(line), want)
		}
		return nil
	}
}
