package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// scrape returns the samples of a serving process, each series with its value.
func (m *machine) scrape(t *testing.T) map[string]string {
	t.Helper()
	c := http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(m.dir, "run/admin"))
			},
		},
	}
	resp, err := c.Get("http://gatepost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s, %v", resp.Status, err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			out[line[:i]] = strings.TrimSpace(line[i+1:])
		}
	}
	return out
}

// TestMetrics: a serving process has counter, latency, sessions and queue of
// every daemon before the first request; requests add no series, and no label
// says who they came from.
func TestMetrics(t *testing.T) {
	s := startServed(t, fmt.Sprintf("authd: {failure_delay: 0s}\nguard: {max_failures: 50}\ndict: {uids: [%d]}\n", os.Getuid()))
	s.must(t, "domain", "add", "example.org")
	if a := s.runWith(t, "wonderland\n", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatal(a.talk)
	}
	before := s.scrape(t)
	for daemon, verdicts := range daemonVerdicts {
		l := `{daemon="` + daemon + `"}`
		for _, series := range []string{
			"gatepost_request_seconds_count" + l, "gatepost_sessions" + l, "gatepost_waiting_connections" + l,
		} {
			if before[series] != "0" {
				t.Errorf("%s is %q at the start, want 0", series, before[series])
			}
		}
		for _, v := range verdicts {
			if series := `gatepost_requests_total{daemon="` + daemon + `",verdict="` + v + `"}`; before[series] != "0" {
				t.Errorf("%s is %q at the start, want 0", series, before[series])
			}
		}
	}

	s.request(t)
	after := s.scrape(t)
	for series := range after {
		if _, ok := before[series]; !ok && strings.HasPrefix(series, "gatepost_") {
			t.Errorf("%s was not there from the start", series)
		}
		wantNobody(t, series)
	}
	for daemon := range daemonVerdicts {
		series := `gatepost_request_seconds_count{daemon="` + daemon + `"}`
		if after[series] == "0" {
			t.Errorf("%s is 0 after a request", series)
		}
	}
}

var labelValue = regexp.MustCompile(`="([^"]*)"`)

// wantNobody wants no address, user or domain in a label.
func wantNobody(t *testing.T, series string) {
	t.Helper()
	for _, m := range labelValue.FindAllStringSubmatch(series, -1) {
		_, err := netip.ParseAddr(strings.Trim(m[1], "[]"))
		if err == nil || strings.ContainsAny(m[1], "@") || strings.Contains(m[1], "example.") || strings.Contains(m[1], "alice") {
			t.Errorf("a label of %s names somebody", series)
		}
	}
}

// request asks every daemon something, well and badly.
func (s *served) request(t *testing.T) {
	t.Helper()
	for _, to := range []string{"alice@example.org", "nobody@example.org"} {
		s.peer(t, "queue/gatepost", "policy").ask("request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=SMTP\n"+
			"client_address=192.0.2.7\nsender=alice@example.org\nrecipient="+to+"\nsasl_username=alice@example.org\n\n", "\n\n")
		s.peer(t, "queue/gatepost", "socketmap").ask(netstring("virtual_mailbox_maps "+to), ",")
	}
	for _, password := range []string{"wonderland", "guess"} {
		p := s.peer(t, "queue/gatepost", "auth")
		p.ask("VERSION\t1\t2\nCPID\t7\n", "DONE\n")
		resp := base64.StdEncoding.EncodeToString([]byte("\x00alice@example.org\x00" + password))
		p.ask("AUTH\t1\tPLAIN\tservice=smtp\trip=192.0.2.7\tresp="+resp+"\n", "\n")
	}
	if got := s.peer(t, "run", "dict").ask("H3\t2\t0\t\tauthd\nLshared/userdb/alice@example.org\talice@example.org\n", "\n"); got[0] != 'O' {
		t.Errorf("dict answers %q", got)
	}
	p := s.peer(t, "queue/gatepost", "lmtp")
	p.ask("", "\r\n")
	p.ask("LHLO mx.example.org\r\n", "250 SIZE 268435456\r\n")
	for _, c := range []string{"MAIL FROM:<carol@example.com>", "RCPT TO:<nobody@example.org>", "RCPT TO:<alice@example.org>", "DATA"} {
		p.ask(c+"\r\n", "\r\n")
	}
	if got := p.ask("Subject: Hello\r\n\r\nHello.\r\n.\r\n", "\r\n"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("lmtp answers %q", got)
	}
	s.judge(t)
}

// netstring is a request of socketmap_table(5).
func netstring(s string) string { return fmt.Sprintf("%d:%s,", len(s), s) }

// judge sends a message of this host through the milter, as cleanup does.
func (s *served) judge(t *testing.T) {
	t.Helper()
	p := s.peer(t, "queue/gatepost", "milter-local")
	for _, packet := range []string{
		"O\x00\x00\x00\x06\x00\x00\x01\xff\x00\x00\x00\x00", // version, actions, steps
		"Clocalhost\x004\x00\x00127.0.0.1\x00",
		"M<root@mx.example.org>\x00",
		"DEi\x004XyZ\x00",
		"R<alice@example.org>\x00",
		"LSubject\x00Hello\x00",
		"N",
		"BHello.\r\n",
		"E",
	} {
		if _, err := fmt.Fprintf(p.conn, "%s%s", binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet); err != nil {
			t.Fatal(err)
		}
		// Macros have no answer; the end has several, the last of which decides.
		for kind := byte('h'); packet[0] != 'D' && strings.IndexByte("hmi", kind) >= 0; {
			kind = p.packet(t)[0]
			if strings.IndexByte("hmicaO", kind) < 0 {
				t.Fatalf("the milter answers %q to %q", kind, packet)
			}
		}
	}
}

// packet reads one packet of the milter protocol.
func (p *peer) packet(t *testing.T) []byte {
	t.Helper()
	var size uint32
	if err := binary.Read(p.in, binary.BigEndian, &size); err != nil || size == 0 || size > 1000 {
		t.Fatalf("%s: packet of %d bytes, %v", p.name, size, err)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(p.in, b); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return b
}

// TestQueue: connections above the cap are seen to wait.
func TestQueue(t *testing.T) {
	s := startServed(t, "authd: {max_connections: 1}\n")
	first := s.peer(t, "queue/gatepost", "auth")
	first.ask("VERSION\t1\t2\nCPID\t7\n", "DONE\n")
	for i := range 3 {
		_ = s.peer(t, "queue/gatepost", "auth")
		if i == 0 {
			continue
		}
		_ = s.peer(t, "run", "login") // the first of these two is served
	}
	got := s.scrape(t)
	for series, want := range map[string][]string{
		`gatepost_sessions{daemon="authd"}`:              {"1", "2"}, // that of login may not be accepted yet
		`gatepost_waiting_connections{daemon="authd"}`:   {"4", "5"},
		`gatepost_waiting_connections{daemon="policyd"}`: {"0"},
	} {
		if !slices.Contains(want, got[series]) {
			t.Errorf("%s is %s, want one of %v", series, got[series], want)
		}
	}
}

// TestSocketsHaveDaemons: no socket is left out of the queues.
func TestSocketsHaveDaemons(t *testing.T) {
	g := startInside(t, "")
	for _, sock := range g.r.daemons.sockets(daemonNames) {
		if _, ok := daemonVerdicts[socketDaemon[sock.name]]; !ok {
			t.Errorf("the socket %s belongs to no daemon of the metrics", sock.name)
		}
	}
}
