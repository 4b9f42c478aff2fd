package milter

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/shared"
	"github.com/gatepost/gatepost/internal/verdict"
)

// rows are the points in which protocol version 6 goes beyond the library, one
// subtest each: what we do about it, or what shows that it does not concern us.
var rows = map[string]func(*testing.T){
	"version answered":               rowVersion,
	"macro request list":             rowMacroList,
	"macros kept by stage":           rowMacrosByStage,
	"DATA event":                     rowData,
	"UNKNOWN `U`":                    rowUnknown,
	"QUIT_NC `K`":                    rowQuitNC,
	"no-reply bits":                  rowNoReply,
	"SKIP":                           rowSkip,
	"progress":                       rowProgress,
	"ESMTP parameters of MAIL, RCPT": rowParameters,
	"HDR_LEADSPC, RCPT_REJ":          rowLeadingSpace,
	"add recipient with parameters, sender parameters": rowRecipients,
	"insert header":              rowInsertHeader,
	"body replacement":           rowBody,
	"headers":                    rowHeaders,
	"state after refusal":        rowRefusal,
	"angle brackets":             rowBrackets,
	"packet size limit":          rowPacketSize,
	"malformed packets":          rowMalformed,
	"read and write time limits": rowTimeLimits,
	"shutdown":                   rowShutdown,
	"panics by configuration":    rowConfiguration,
	"reply `4` shutdown":         rowReplyShutdown,
	"family `L` in CONNECT":      rowFamilyL,
}

func TestProtocol6(t *testing.T) {
	for name, test := range rows {
		t.Run(name, test)
	}
}

// TestProtocol6RowsAreAll compares the names with the table in the notes.
func TestProtocol6RowsAreAll(t *testing.T) {
	_, table, ok := strings.Cut(string(shared.Read(t, "protocols/milter.md")), "## 11.")
	if !ok {
		t.Fatal("no section 11 in the notes")
	}
	found := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.HasPrefix(cells[1], " ---") || strings.TrimSpace(cells[1]) == "point" {
			continue
		}
		found++
		if name := strings.TrimSpace(cells[1]); rows[name] == nil {
			t.Errorf("no subtest for the row %q", name)
		}
	}
	if found != len(rows) {
		t.Errorf("the table has %d rows, the test %d", found, len(rows))
	}
}

// seen is a scanner that keeps what it is shown.
type seen struct {
	msgs []scan.Message
	raws []string
	give scan.Result
}

func (s *seen) scan(_ scan.Config, m scan.Message, _ time.Time) scan.Result {
	s.msgs = append(s.msgs, m)
	s.raws = append(s.raws, string(m.Raw.Raw))
	return s.give
}

func (s *seen) last(t *testing.T) scan.Message {
	t.Helper()
	if len(s.msgs) == 0 {
		t.Fatal("the rules saw no message")
	}
	return s.msgs[len(s.msgs)-1]
}

func rowVersion(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	for _, offer := range [][3]uint32{postfixOffer, {2, 0x3f, 0x7f}, {4, 0x1ff, 0x3ff}, {6, 0x11, 0}, {8, 0xffffffff, 0xffffffff}} {
		m := ln.dial(t)
		m.negotiate(offer)
		if m.version != min(offer[0], 6) || m.actions&^offer[1] != 0 || m.protocol&^offer[2] != 0 {
			t.Errorf("offer %x answered with %d %x %x", offer, m.version, m.actions, m.protocol)
		}
		m.connectFrom("192.0.2.7")
		if _, final := m.transfer(plain()); final.Code != 'a' {
			t.Errorf("offer %x: final answer %v", offer, final)
		}
		m.quit()
	}
}

func rowMacroList(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	m := ln.dial(t)
	m.negotiate(postfixOffer)
	got := map[uint32][]string{}
	for b := []byte(m.macros); len(b) > 0; {
		if len(b) < 5 {
			t.Fatalf("macro list ends in %q", b)
		}
		names, rest, ok := bytes.Cut(b[4:], []byte{0})
		if !ok {
			t.Fatalf("macro list without end: %q", b)
		}
		got[binary.BigEndian.Uint32(b)] = strings.Fields(string(names))
		b = rest
	}
	for stage, names := range map[uint32]string{
		0: "j {daemon_name} v {client_addr} {client_name} {client_port} {client_ptr}",
		1: "{tls_version} {cipher}",
		2: "i {auth_type} {auth_authen} {auth_author} {mail_addr}",
		3: "i {rcpt_addr}", 4: "i", 5: "i", 6: "i",
	} {
		for _, name := range strings.Fields(names) {
			if !slices.Contains(got[stage], name) {
				t.Errorf("stage %d does not ask for %s: %v", stage, name, got[stage])
			}
		}
	}
	m = ln.dial(t)
	m.negotiate([3]uint32{6, 0xff, 0x1fffff})
	if m.macros != "" {
		t.Errorf("macro list %q without SMFIF_SETSYMLIST in the offer", m.macros)
	}
}

func rowMacrosByStage(t *testing.T) {
	var s seen
	ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Outbound)
	m := ln.dial(t)
	m.negotiate(postfixOffer)
	m.event('C', z("h")+"4\xc9P"+z("192.0.2.7"), "{client_name}", "host.example.net")
	m.event('H', z("x"), "{tls_version}", "TLSv1.3")
	msg := plain()
	msg.User = "alice@example.org"
	msg.Rcpt = append(msg.Rcpt, "<bob@example.org>")
	m.transfer(msg)
	got := s.last(t)
	if got.User != msg.User || !got.Client.TLS || got.Client.Name != "host.example.net" {
		t.Errorf("at the end of message: user %q, TLS %v, client %q", got.User, got.Client.TLS, got.Client.Name)
	}
	m.send('A')
	m.transfer(plain()) // another transaction, which nobody logged in for
	got = s.last(t)
	if got.User != "" || got.Direction != scan.Inbound {
		t.Errorf("next message: user %q, direction %v", got.User, got.Direction)
	}
	if got.Client.Name != "host.example.net" || !got.Client.TLS {
		t.Errorf("next message: client %+v", got.Client)
	}
}

func rowData(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	if m.protocol&0x10000 != 0 {
		t.Error("SMFIP_NR_DATA was asked for, which the library does not honour")
	}
	m.envelope(plain()) // reads the answer to DATA
	m.inStep()
	m.quit()
}

func rowUnknown(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	for range 3 {
		m.event('U', z("FOO"))
	}
	if _, final := m.transfer(plain()); final.Code != 'a' {
		t.Errorf("after UNKNOWN: %v", final)
	}
	m.event('U', z("BAR"))
	m.quit()
}

func rowQuitNC(t *testing.T) {
	var s seen
	ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	m.transfer(plain())
	m.send('K')
	m.connectFrom("198.51.100.9")
	if _, final := m.transfer(plain()); final.Code != 'a' {
		t.Errorf("after QUIT_NC: %v", final)
	}
	if got := s.last(t).Client.Addr.String(); got != "198.51.100.9" {
		t.Errorf("client after QUIT_NC is %s", got)
	}
	m.send('K') // in the middle of nothing
	m.send('K')
	m.connectFrom("198.51.100.10")
	m.inStep()
	m.quit()
}

func rowNoReply(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	for _, mask := range []uint32{0x1fffff, 0, 0x80, 0x80080, 0xff080, 0x1000, 0x4a000} {
		m := ln.dial(t)
		m.negotiate([3]uint32{6, 0x1ff, mask})
		m.connectFrom("192.0.2.7")
		for range 2 {
			// event fails on a missing answer, and a stray one is taken for that
			// to the next command.
			if changes, final := m.transfer(plain()); final.Code != 'a' || len(changes) == 0 {
				t.Errorf("offer %x: %v %v", mask, changes, final)
			}
			m.inStep()
			m.send('A')
		}
		m.quit()
	}
}

func rowSkip(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	m := ln.dial(t)
	m.negotiate([3]uint32{6, 0x1ff, 0x400}) // SKIP offered, every event answered
	if m.protocol&0x400 != 0 {
		t.Error("SKIP was asked for and is never used")
	}
	m.connectFrom("192.0.2.7")
	msg := plain()
	msg.Body = strings.Repeat("line\r\n", 100000)
	if _, final := m.transfer(msg); final.Code != 'a' { // each chunk was answered with continue
		t.Errorf("final answer %v", final)
	}
}

func rowParameters(t *testing.T) {
	j := &records{}
	ln := serve(t, testConfig(), Deps{Journal: j}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	m.event('M', z("<s@y.test>", "SIZE=100", "BODY=8BITMIME"))
	m.event('R', z("<one@example.org>"))
	m.event('R', z("<two@example.org>", "NOTIFY=NEVER", "ORCPT=rfc822;two@example.org"))
	m.event('T', "")
	m.content(plain())
	m.eom()
	m.quit()
	r := j.last(t)
	if got := r.fact("mail_parameters"); got != "SIZE=100 BODY=8BITMIME" {
		t.Errorf("MAIL parameters %q", got)
	}
	if got := r.fact("rcpt_parameters"); got != "two@example.org NOTIFY=NEVER ORCPT=rfc822;two@example.org" {
		t.Errorf("RCPT parameters %q", got)
	}
}

func rowLeadingSpace(t *testing.T) {
	for _, tc := range []struct {
		name           string
		offer          uint32
		seen, inserted string
	}{
		{"offered", 0x1fffff, "Subject:no space\r\nX-Two:  two spaces \r\nX-Fold: a\r\n\tfolded\r\n\r\n", " mx.example.org;"},
		{"not offered", 0x0fffff, "Subject: no space\r\nX-Two:  two spaces \r\nX-Fold: a\r\n\tfolded\r\n\r\n", "mx.example.org;"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s seen
			ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
			m := ln.dial(t)
			m.negotiate([3]uint32{6, 0x1ff, tc.offer})
			if m.protocol&0x800 != 0 {
				t.Error("SMFIP_RCPT_REJ was asked for: refused recipients would count as recipients")
			}
			m.connectFrom("192.0.2.7")
			msg := plain()
			msg.Header = []string{"Subject:no space", "X-Two:  two spaces ", "X-Fold: a\n\tfolded"}
			msg.Body = ""
			changes, _ := m.transfer(msg)
			if got := s.raws[0]; got != tc.seen {
				t.Errorf("the rules saw %q, want %q", got, tc.seen)
			}
			want := "\x00\x00\x00\x01Authentication-Results\x00" + tc.inserted
			if len(changes) == 0 || !strings.HasPrefix(changes[0].Data, want) {
				t.Errorf("inserted %q, want %q...", changes, want)
			}
		})
	}
}

func rowRecipients(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	if m.actions&(0x4|0x8|0x80) != 0 {
		t.Errorf("actions %x: we change no recipients", m.actions)
	}
	changes, _ := m.transfer(plain())
	for _, c := range changes {
		if strings.IndexByte("+-2e", c.Code) >= 0 {
			t.Errorf("change of the envelope: %v", c)
		}
	}
}

func rowInsertHeader(t *testing.T) {
	var s seen
	s.give = scan.Result{Score: 0}
	ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	changes, _ := m.transfer(plain())
	if len(changes) == 0 || changes[0].Code != 'i' || !strings.HasPrefix(changes[0].Data, "\x00\x00\x00\x01Authentication-Results\x00 ") {
		t.Fatalf("first change %v, want Authentication-Results at index 1, below Postfix's Received", changes)
	}
	for _, c := range changes {
		if strings.Contains(c.Data, "\r") {
			t.Errorf("CR in %v", c)
		}
	}
}

func rowBody(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	if m.actions&0x2 != 0 {
		t.Error("SMFIF_CHGBODY was asked for: the body is never changed")
	}
	msg := plain()
	msg.Body = strings.Repeat("x", 200000)
	changes, _ := m.transfer(msg)
	for _, c := range changes {
		if c.Code == 'b' {
			t.Errorf("body replaced")
		}
	}
}

func rowHeaders(t *testing.T) {
	var s seen
	ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	msg := plain()
	msg.Header = []string{"received: b", "SUBJECT: One", "Received: a", "X-\xe9: \xff", "subject: two", "Empty:"}
	msg.Body = ""
	m.transfer(msg)
	m.event('M', z("<x@y.test>")) // no ABORT between two messages
	m.event('R', z("<alice@example.org>"))
	m.event('T', "")
	m.send('L', "X-Nul\x00 a\x00b\x00c\x00") // a NUL ends the value
	m.send('L', "X-Nuls\x00\x00\x00\x00")
	m.send('N')
	if _, final := m.eom(); final.Code != 'a' {
		t.Fatalf("final answer %v", final)
	}
	want := []string{
		"received: b\r\nSUBJECT: One\r\nReceived: a\r\nX-\xe9: \xff\r\nsubject: two\r\nEmpty:\r\n\r\n",
		"X-Nul: a\r\nX-Nuls:\r\n\r\n",
	}
	if !reflect.DeepEqual(s.raws, want) {
		t.Errorf("the rules saw %q, want %q", s.raws, want)
	}
}

func rowRefusal(t *testing.T) {
	var s seen
	ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	s.give = scan.Result{Verdict: verdict.Reject, Score: 1000}
	if changes, final := m.transfer(plain()); final.Code != 'y' || len(changes) != 0 {
		t.Fatalf("refusal %v %v", changes, final)
	}
	s.give = scan.Result{}
	m.send('A')
	// Postfix refused two recipients of this one: we never hear of them, and
	// DATA comes for the third.
	if _, final := m.transfer(plain()); final.Code != 'a' {
		t.Fatalf("after the refusal: %v", final)
	}
	m.send('A')
	m.transfer(plain())
	for i, got := range s.msgs {
		if got.Client.Addr.String() != "192.0.2.7" || got.Client.Helo != "client.example.net" || got.MailFrom.Domain != "example.net" || len(got.RcptTo) != 1 {
			t.Errorf("message %d forgot its session: %+v", i, got)
		}
	}
	m.quit()
}

func rowBrackets(t *testing.T) {
	var s seen
	j := &records{}
	ln := serve(t, testConfig(), Deps{Scan: s.scan, Journal: j}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	for _, tc := range []struct{ path, want string }{
		{"<sender@example.net>", "sender@example.net"},
		{"root@example.test", "root@example.test"}, // non_smtpd_milters
		{`<"<a>"@example.net>`, `"<a>"@example.net`},
		{"<>", ""},
	} {
		msg := plain()
		msg.From, msg.Rcpt = tc.path, []string{tc.path}
		m.transfer(msg)
		if got := s.last(t).MailFrom.String(); got != tc.want {
			t.Errorf("MAIL %s: the rules saw %q, want %q", tc.path, got, tc.want)
		}
		if got := j.last(t).MailFrom; got != tc.want {
			t.Errorf("MAIL %s: journal has %q, want %q", tc.path, got, tc.want)
		}
		m.send('A')
	}
}

func rowPacketSize(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	for _, b := range []string{"\xff\xff\xff\xffB", "\x00\x10\x00\x02B", "\x00\x01\x00\x02L"} {
		m := ln.dial(t).hello()
		m.event('M', z("<x@y.test>"))
		go func() { _, _ = m.conn.Write([]byte(b)) }() // it may read no more than the length
		m.wantClosed()
	}
	m := ln.dial(t).hello()
	m.envelope(plain())
	m.send('N')
	m.send('B', strings.Repeat("x", 1<<20)) // the largest chunk
	if _, final := m.eom(); final.Code != 'a' {
		t.Errorf("a chunk of a megabyte: %v", final)
	}
}

func rowMalformed(t *testing.T) {
	for name, test := range malformed {
		t.Run(name, test)
	}
}

func rowConfiguration(t *testing.T) {
	bad := Config{MaxConnections: -1, ARCSeal: "a b", SubmissionNetworks: []SubmissionNetwork{{}}, LocalSenders: []string{"@"}, RemoveHeadersOutbound: []string{"From", "a b"}}
	if _, err := New(bad, Deps{}, quiet()); err == nil {
		t.Fatal("New took a bad configuration")
	} else {
		for _, key := range []string{"max_connections", "idle_timeout", "frame_timeout", "message_timeout", "max_header_bytes", "scan_bytes", "arc_seal",
			"submission_networks[0].networks", "submission_networks[0].domains", "local_senders[0]",
			"remove_headers_outbound[0]", "remove_headers_outbound[1]", "authserv_id"} {
			if !strings.Contains(err.Error(), key+": ") {
				t.Errorf("no fault for %s in %v", key, err)
			}
		}
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("Default is not valid: %v", err)
	}
}

func rowReplyShutdown(t *testing.T) {
	var s seen
	ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	for v := verdict.Accept; v <= verdict.Reject; v++ {
		s.give = scan.Result{Verdict: v}
		_, final := m.transfer(plain())
		if final.Code != 'a' && final.Code != 'y' || strings.HasPrefix(final.Data, "421") {
			t.Errorf("verdict %v: final answer %v ends the session", v, final)
		}
		m.send('A')
	}
	m.quit()
}

func rowFamilyL(t *testing.T) {
	var s seen
	ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
	for _, data := range []string{z("localhost") + "L\x00\x00" + z("/run/client"), z("unknown") + "U"} {
		m := ln.dial(t)
		m.negotiate(postfixOffer)
		m.event('C', data)
		m.event('H', z("localhost"))
		if _, final := m.transfer(plain()); final.Code != 'a' {
			t.Errorf("CONNECT %q: %v", data, final)
		}
		if a := s.last(t).Client.Addr; a.IsValid() {
			t.Errorf("CONNECT %q: client address %v", data, a)
		}
		m.quit()
	}
}
