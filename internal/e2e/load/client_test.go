//go:build linux

package load

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
)

// session is what Postfix says for one message, in three breaths: up to the
// answer to the negotiation, to that to DATA, and to that to the end of message.
// The queue id is of a fixed length, and put in by send.
type session [3][]byte

const queueID = "QUEUEID"

// say returns the session of a message from sender.
func say(raw []byte, sender string) session {
	var s session
	s[0] = pack(nil, 'O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff")
	e := pack(nil, 'D', "C", z("j", "mx.example.org", "{daemon_name}", "mx.example.org", "{client_addr}", "8.8.8.8", "{client_name}", "mail.d1.example", "{client_resolve}", "OK"))
	e = pack(e, 'C', z("mail.d1.example")+"4\xc9P"+z("8.8.8.8"))
	e = pack(pack(e, 'D', "H"), 'H', z("mail.d1.example"))
	e = pack(pack(e, 'D', "M", z("{mail_addr}", sender)), 'M', z("<"+sender+">"))
	e = pack(pack(e, 'D', "R", z("{rcpt_addr}", "alice@example.org")), 'R', z("<alice@example.org>"))
	s[1] = pack(pack(e, 'D', "T", z("i", queueID)), 'T')
	raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte{0}, nil)
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	for _, f := range fields(head) {
		name, value, _ := strings.Cut(f, ":")
		s[2] = pack(s[2], 'L', z(name, value))
	}
	s[2] = pack(s[2], 'N')
	body = bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n"))
	for len(body) > 0 {
		n := min(len(body), 65535)
		s[2] = pack(s[2], 'B', string(body[:n]))
		body = body[n:]
	}
	s[2] = pack(pack(s[2], 'D', "E", z("i", queueID)), 'E')
	return s
}

// fields divides a header block.
func fields(head []byte) (out []string) {
	for line := range strings.SplitSeq(string(head), "\n") {
		if n := len(out) - 1; n >= 0 && line != "" && (line[0] == ' ' || line[0] == '\t') {
			out[n] += "\n" + line
		} else if strings.IndexByte(line, ':') > 0 {
			out = append(out, line)
		}
	}
	return out
}

func pack(to []byte, code byte, parts ...string) []byte {
	data := strings.Join(parts, "")
	to = binary.BigEndian.AppendUint32(to, uint32(len(data)+1))
	return append(append(to, code), data...)
}

func z(s ...string) string { return strings.Join(s, "\x00") + "\x00" }

// send has one message checked, in a connection of its own.
func send(socket string, s session, serial int) error {
	id := []byte(fmt.Sprintf("4%06X", serial&0xffffff))
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for i, part := range s {
		if i > 0 {
			part = bytes.ReplaceAll(part, []byte(queueID), id)
		}
		if _, err := c.Write(part); err != nil {
			return err
		}
		if err := answered(r); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	if _, err := c.Write(pack(nil, 'Q')); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// answered reads up to an answer; edits come before it.
func answered(r *bufio.Reader) error {
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		data := make([]byte, binary.BigEndian.Uint32(head[:4])-1)
		if _, err := io.ReadFull(r, data); err != nil {
			return err
		}
		switch {
		case head[4] == 't' || head[4] == 'y' && data[0] == '4':
			return fmt.Errorf("answer %q %q", head[4], data)
		case strings.IndexByte("Ocaryd", head[4]) >= 0:
			return nil
		}
	}
}
