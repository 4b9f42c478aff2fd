package milter

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/shared"
)

// captures returns what Postfix said in each captured connection, by name.
func captures(t testing.TB) map[string][]byte {
	t.Helper()
	dir := shared.Path(t, "protocols/transcripts")
	files, err := filepath.Glob(filepath.Join(dir, "milter-*.c2s"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s: %v", dir, err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		name := filepath.Base(f)
		out[name] = shared.Read(t, "protocols/transcripts/"+name)
	}
	return out
}

// TestReplay plays each captured connection blindly, with the offer as it was
// and with one that has no protocol bits, and counts: every command that wants
// an answer gets one, of the right kind and in order, and no other does.
func TestReplay(t *testing.T) {
	for name, said := range captures(t) {
		for _, bits := range []string{"as offered", "no protocol bits"} {
			t.Run(name+"/"+bits, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					said := bytes.Clone(said)
					if bits == "no protocol bits" {
						copy(said[13:17], "\x00\x00\x00\x00")
					}
					replay(t, said)
				})
			})
		}
	}
}

func replay(t *testing.T, said []byte) {
	s := seen{}
	ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
	m := ln.dial(t)
	go func() { _, _ = m.conn.Write(said) }()
	answers := packets(t, m.conn)
	sent := packets(t, bytes.NewReader(said))
	if len(answers) == 0 || answers[0].Code != 'O' {
		t.Fatalf("answers %v", answers)
	}
	m.protocol = uint32(answers[0].Data[9])<<16 | uint32(answers[0].Data[10])<<8 | uint32(answers[0].Data[11])
	answers = answers[1:]
	messages := 0
	for i, c := range sent {
		switch {
		case strings.IndexByte("ODAQ", c.Code) >= 0 || !m.answers(c.Code):
			continue
		case c.Code == 'E':
			messages++
			for len(answers) > 0 && strings.IndexByte("him", answers[0].Code) >= 0 {
				answers = answers[1:]
			}
			if len(answers) == 0 || answers[0].Code != 'a' {
				t.Fatalf("packet %d, end of message: %v", i, answers)
			}
		case len(answers) == 0 || answers[0] != (packet{'c', ""}):
			t.Fatalf("packet %d, %c: %v", i, c.Code, answers)
		}
		answers = answers[1:]
	}
	if len(answers) > 0 {
		t.Errorf("answers left over: %v", answers)
	}
	if len(s.msgs) != messages {
		t.Errorf("%d messages judged, %d sent", len(s.msgs), messages)
	}
}

// packets reads packets up to the end.
func packets(t *testing.T, r io.Reader) []packet {
	t.Helper()
	var ps []packet
	for {
		p, err := readPacket(r)
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
			return ps
		}
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// What Postfix was seen to send is understood to the letter.
func TestReplayFullSession(t *testing.T) {
	said := shared.Read(t, "protocols/transcripts/milter-full-session.1.c2s")
	synctest.Test(t, func(t *testing.T) {
		s, j := seen{}, &records{}
		ln := serve(t, testConfig(), Deps{Scan: s.scan, Journal: j}, quiet(), scan.Outbound)
		m := ln.dial(t)
		go func() { _, _ = m.conn.Write(said) }()
		packets(t, m.conn)
		const want = "Subject:no space\r\nX-Two:  two spaces \r\nX-Fold: a\r\n\tfolded\r\n" +
			"Message-Id: <20261120065200.649E89BA505@mx.example.test>\r\nDate: Fri, 20 Nov 2026 06:52:00 +0000 (UTC)\r\n" +
			"From: s@y.test\r\n\r\nBad header line\r\n\r\nbody text\r\n.dot\r\n"
		if len(s.raws) != 1 || s.raws[0] != want {
			t.Fatalf("the rules saw %q, want %q", s.raws, want)
		}
		got := s.msgs[0]
		if got.User != "alice" || got.Direction != scan.Outbound || got.Client.Helo != "d.test" || !got.Client.TLS || got.Client.Name != "" ||
			got.Client.Addr.String() != "127.0.0.1" || got.MailFrom.String() != "s@y.test" || len(got.RcptTo) != 3 {
			t.Errorf("message %+v", got)
		}
		r := j.last(t)
		if r.QueueID != "649E89BA505" || r.Mech != "PLAIN" || r.User != "alice" || r.fact("tls") != "TLSv1.3 TLS_AES_256_GCM_SHA384" ||
			r.fact("mail_parameters") != "SIZE=100 BODY=8BITMIME" || r.fact("rcpt_parameters") != "bad@nowhere.invalid NOTIFY=NEVER" {
			t.Errorf("record %+v", r)
		}
	})
}
