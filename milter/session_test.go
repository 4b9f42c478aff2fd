package milter

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// checker gives what a test wants and keeps what it was asked.
type checker struct {
	in   mailauth.Input
	body string
	give mailauth.Results
}

func (c *checker) Check(_ context.Context, in mailauth.Input) mailauth.Results {
	c.in = in
	b, err := io.ReadAll(in.Body())
	if err != nil {
		panic(err)
	}
	c.body = string(b)
	return c.give
}

// A reverse-path that RFC 5321 does not allow, and Postfix does, is still of
// its domain: taken for the null one it would be judged by HELO instead.
func TestOddSenderIsNotNull(t *testing.T) {
	verp := "bounce-" + strings.Repeat("x", 70)
	for path, want := range map[string]mailaddr.Address{
		"<" + verp + "@List.example>":      {LocalPart: verp, Domain: "list.example"},
		`<"a` + "\x01" + `"@bank.example>`: {LocalPart: `"a` + "\x01" + `"`, Domain: "bank.example"},
		"<a@bank..example>":                {LocalPart: "a@bank..example"},
		"<@@>":                             {LocalPart: "@@"},
		"<>":                               {},
	} {
		c, j := &checker{}, &records{}
		msg := plain()
		msg.From = path
		serve(t, testConfig(), Deps{Auth: c, Journal: j}, quiet(), scan.Inbound).dial(t).hello().transfer(msg)
		if c.in.MailFrom != want {
			t.Errorf("MAIL FROM:%s: checker asked about %+v, want %+v", path, c.in.MailFrom, want)
		}
		if got := j.last(t).MailFrom; (got == "") != (path == "<>") {
			t.Errorf("MAIL FROM:%s: journal %q", path, got)
		}
	}
}

// The checks see the message byte for byte as it was signed, whatever its size.
func TestCheckerSeesTheWholeMessage(t *testing.T) {
	for _, size := range []int{0, 10, 70000, 3 << 20} {
		cfg := testConfig()
		cfg.ScanBytes, cfg.SpoolMemory, cfg.SpoolDirectory = 64<<10, 32<<10, t.TempDir()
		c := &checker{give: mailauth.Results{IPRev: mailauth.IPRev{Result: authres.Pass, Addr: netip.MustParseAddr("192.0.2.7")}}}
		var s seen
		ln := serve(t, cfg, Deps{Auth: c, Scan: s.scan}, quiet(), scan.Inbound)
		msg := plain()
		msg.Header = append(msg.Header, "DKIM-Signature: x")
		msg.Body = strings.Repeat("0123456\r\n", size/9)
		want := strings.Join(msg.Header, "\r\n") + "\r\n\r\n" + msg.Body
		if _, final := ln.dial(t).hello().transfer(msg); final.Code != 'a' {
			t.Fatalf("final answer %v", final)
		}
		if c.body != want {
			t.Errorf("size %d: the checker saw %d bytes, want %d", size, len(c.body), len(want))
		}
		if in := c.in; in.ClientAddr.String() != "192.0.2.7" || in.Helo != "client.example.net" || in.MailFrom.String() != "sender@example.net" || in.ClientName != "" {
			t.Errorf("checker asked about %+v", in)
		}
		if got := s.last(t); got.Size != int64(len(want)) || len(s.raws[0]) != min(len(want), 64<<10) || got.Auth.IPRev.Result != authres.Pass {
			t.Errorf("the rules saw %d of %d bytes, auth %+v", len(s.raws[0]), got.Size, got.Auth)
		}
	}
}

func TestDirection(t *testing.T) {
	cfg := testConfig()
	cfg.SubmissionNetworks = []SubmissionNetwork{{
		Networks: []netaddr.Prefix{{Prefix: netip.MustParsePrefix("198.51.100.0/28")}, {Prefix: netip.MustParsePrefix("2001:db8::/32")}},
		Domains:  []string{"example.org"},
	}}
	for _, tc := range []struct {
		name, addr, user string
		listener         scan.Direction
		want             origin
	}{
		{"stranger", "192.0.2.7", "", scan.Inbound, origin{Direction: scan.Inbound}},
		{"stranger from loopback", "127.0.0.2", "", scan.Inbound, origin{Direction: scan.Inbound}},
		{"stranger from a private network", "10.0.0.1", "", scan.Inbound, origin{Direction: scan.Inbound}},
		{"stranger from a submission network", "198.51.100.3", "", scan.Inbound, origin{Direction: scan.Inbound}},
		{"login on port 25", "192.0.2.7", "alice", scan.Inbound, origin{Direction: scan.Inbound, User: "alice"}},
		{"submission with login", "192.0.2.7", "alice", scan.Outbound, origin{Direction: scan.Outbound, User: "alice"}},
		{"submission without login", "192.0.2.7", "", scan.Outbound, origin{Direction: scan.Inbound}},
		{"submission from loopback", "127.0.0.1", "", scan.Outbound, origin{Direction: scan.Inbound}},
		{"submission from a network", "198.51.100.3", "", scan.Outbound, origin{Direction: scan.Outbound, Domains: []string{"example.org"}}},
		{"submission from an IPv6 network", "2001:db8::9", "", scan.Outbound, origin{Direction: scan.Outbound, Domains: []string{"example.org"}}},
		{"beside the network", "198.51.100.16", "", scan.Outbound, origin{Direction: scan.Inbound}},
		{"this host", "127.0.0.1", "", scan.Local, origin{Direction: scan.Local}},
		{"our spool", "127.0.0.1", "", scan.Own, origin{Direction: scan.Own}},
	} {
		if got := originOf(&cfg, tc.listener, tc.user, netip.MustParseAddr(tc.addr)); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: originOf = %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// Mail of this host and of ours is neither scored nor refused; strangers and
// our users are judged.
func TestScored(t *testing.T) {
	for d, want := range map[scan.Direction]byte{scan.Inbound: 'y', scan.Outbound: 'y', scan.Local: 'a', scan.Own: 'a'} {
		s := seen{give: scan.Result{Verdict: verdict.Reject}}
		rows := &verdictRows{}
		ln := serve(t, testConfig(), Deps{Scan: s.scan, Verdicts: rows}, quiet(), d)
		msg := plain()
		msg.User = "alice@example.org"
		changes, final := ln.dial(t).hello().transfer(msg)
		if final.Code != want || len(s.msgs) != map[byte]int{'y': 1, 'a': 0}[want] || len(changes) != 0 || len(rows.rows) != 0 {
			t.Errorf("%v: %v %v, %d messages scored, %d rows", d, changes, final, len(s.msgs), len(rows.rows))
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name string
		give scan.Result
		want string // the final answer
		row  []verdict.Verdict
	}{
		{"accept", scan.Result{}, `a""`, []verdict.Verdict{verdict.Accept}},
		{"mark", scan.Result{Verdict: verdict.Mark}, `a""`, []verdict.Verdict{verdict.Mark}},
		{"quarantine", scan.Result{Verdict: verdict.Quarantine}, `a""`, []verdict.Verdict{verdict.Mark}},
		{"defer", scan.Result{Verdict: verdict.Defer}, `y"451 4.7.1 please try again later\x00"`, nil},
		{"reject", scan.Result{Verdict: verdict.Reject}, `y"554 5.7.1 message refused as spam\x00"`, nil},
		{"reject with a text", scan.Result{Verdict: verdict.Reject, Reject: "100% GTUBE"}, `y"554 5.7.1 100%% GTUBE\x00"`, nil},
		{"reject with a bad text", scan.Result{Verdict: verdict.Reject, Reject: "a\r\nb"}, `y"554 5.7.1 message refused as spam\x00"`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := seen{give: tc.give}
				rows, j, mt := &verdictRows{}, &records{}, &meters{}
				ln := serve(t, testConfig(), Deps{Scan: s.scan, Verdicts: rows, Journal: j, Meter: mt}, quiet(), scan.Inbound)
				m := ln.dial(t).hello()
				m.envelope(plain())
				arrived := time.Now()
				time.Sleep(time.Hour) // a slow client
				m.content(plain())
				changes, final := m.eom()
				if final.String() != tc.want || final.Code == 'y' && len(changes) > 0 {
					t.Errorf("answer %v %v, want %s", changes, final, tc.want)
				}
				var got []verdict.Verdict
				for _, r := range rows.rows {
					got = append(got, r.Verdict)
					if r.QueueID != "4ABCDEF123" || !r.Arrived.Equal(arrived) {
						t.Errorf("row %+v, want arrival at MAIL, %v", r, arrived)
					}
				}
				if !reflect.DeepEqual(got, tc.row) {
					t.Errorf("rows %v, want %v", got, tc.row)
				}
				if word := strings.Fields(tc.name)[0]; word != "quarantine" && (j.last(t).Verdict != word || !reflect.DeepEqual(mt.verdicts, []string{word})) {
					t.Errorf("journal %q, metric %q", j.last(t).Verdict, mt.verdicts)
				}
				m.quit()
				synctest.Wait()
				if mt.sessions != 0 {
					t.Errorf("%d sessions left", mt.sessions)
				}
			})
		})
	}
}

type meters struct {
	verdicts []string
	sessions int
}

func (m *meters) Request(_, v string, _ time.Duration) { m.verdicts = append(m.verdicts, v) }
func (m *meters) Sessions(_ string, n int)             { m.sessions += n }

type verdictRows struct {
	rows []delivery.Row
	err  error
	do   func()
}

func (v *verdictRows) Put(ctx context.Context, r delivery.Row) error {
	v.rows = append(v.rows, r)
	if v.do != nil {
		v.do()
	}
	return cmp.Or(v.err, ctx.Err())
}

// The rules see the whole header, also one that is longer than what they see of
// a message.
func TestRulesSeeTheWholeHeader(t *testing.T) {
	cfg := testConfig()
	cfg.ScanBytes = 64 << 10
	var s seen
	msg := plain()
	msg.Header = append(slices.Repeat([]string{"X-Long: " + strings.Repeat("x", 990)}, 90), append(msg.Header, "DKIM-Signature: x")...)
	serve(t, cfg, Deps{Auth: &checker{}, Scan: s.scan}, quiet(), scan.Inbound).dial(t).hello().transfer(msg)
	if got := s.last(t).Raw; len(got.Fields) != len(msg.Header) {
		t.Errorf("the rules saw %d fields of %d", len(got.Fields), len(msg.Header))
	}
}

// The row is there before the MTA hears anything of the answer.
func TestVerdictRowBeforeAnswer(t *testing.T) {
	client, server := net.Pipe()
	wire := &spy{Conn: server}
	rows := &verdictRows{}
	var before int
	rows.do = func() { before = wire.writes() }
	s, err := New(testConfig(), Deps{Scan: (&seen{give: scan.Result{Verdict: verdict.Mark}}).scan, Verdicts: rows}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { s.serveConn(context.Background(), wire, scan.Inbound); close(done) }()
	m := newMTA(t, client).hello()
	m.envelope(plain())
	m.content(plain())
	already := wire.writes()
	changes, final := m.eom()
	if final.Code != 'a' || len(changes) < 5 {
		t.Fatalf("answer %v %v", changes, final)
	}
	if before != already {
		t.Error("something was sent before the row was kept")
	}
	if got := wire.writes() - already; got != 1 {
		t.Errorf("the answer went out in %d writes, want 1", got)
	}
	m.quit()
	<-done
}

// spy counts writes.
type spy struct {
	net.Conn
	n syncBuffer
}

func (s *spy) Write(p []byte) (int, error) {
	_, _ = s.n.Write([]byte{'w'})
	return s.Conn.Write(p)
}

func (s *spy) writes() int { return len(s.n.String()) }

func TestVerdictRowNotKept(t *testing.T) {
	for _, tc := range []struct {
		give verdict.Verdict
		err  error
		want string
	}{
		{verdict.Accept, errors.New("disk away"), `a""`},
		{verdict.Mark, errors.New("disk away"), `y"451 4.3.0 temporary fault here, please try again later\x00"`},
		{verdict.Mark, mailerr.With(mailerr.Permanent, errors.New("no queue id")), `y"451 4.3.0 temporary fault here, please try again later\x00"`},
	} {
		s := seen{give: scan.Result{Verdict: tc.give}}
		ln := serve(t, testConfig(), Deps{Scan: s.scan, Verdicts: &verdictRows{err: tc.err}}, quiet(), scan.Inbound)
		if _, final := ln.dial(t).hello().transfer(plain()); final.String() != tc.want {
			t.Errorf("%v and %v: %v, want %s", tc.give, tc.err, final, tc.want)
		}
	}
}

// A message that some are to find in Junk is not let in without its row either.
func TestVerdictRowOfSomeNotKept(t *testing.T) {
	s := seen{give: scan.Result{ByRcpt: map[string]verdict.Verdict{"x@y.test": verdict.Mark}, Others: verdict.Mark}}
	ln := serve(t, testConfig(), Deps{Scan: s.scan, Verdicts: &verdictRows{err: errors.New("disk away")}}, quiet(), scan.Inbound)
	const want = `y"451 4.3.0 temporary fault here, please try again later\x00"`
	if _, final := ln.dial(t).hello().transfer(plain()); final.String() != want {
		t.Errorf("%v, want %s", final, want)
	}
}

func TestPanicCostsOneMessage(t *testing.T) {
	const want = `y"451 4.3.0 temporary fault here, please try again later\x00"`
	var broken bool
	trap := func(scan.Config, scan.Message, time.Time) scan.Result {
		if broken {
			panic("rule out of range")
		}
		return scan.Result{}
	}
	var logged syncBuffer
	j := &records{}
	ln := serve(t, testConfig(), Deps{Scan: trap, Journal: j}, slog.New(slog.NewTextHandler(&logged, nil)), scan.Inbound)
	m := ln.dial(t).hello()
	broken = true
	if changes, final := m.transfer(plain()); final.String() != want || len(changes) > 0 {
		t.Errorf("answer %v %v, want %s", changes, final, want)
	}
	broken = false
	if got := j.last(t); got.Verdict != "defer" || got.fact("fault") != "panic" {
		t.Errorf("journal %+v", got)
	}
	m.send('A')
	if _, final := m.transfer(plain()); final.Code != 'a' {
		t.Errorf("next message of the session: %v", final)
	}
	m.quit()
	if got := logged.String(); !strings.Contains(got, "rule out of range") || !strings.Contains(got, "session_test.go") {
		t.Errorf("no stack in the log: %s", got)
	}
}

// A panic where no answer is due is told at the end of the message.
func TestPanicBeforeEndOfMessage(t *testing.T) {
	for _, protocol := range []uint32{0x1fffff, 0} {
		s, err := New(testConfig(), Deps{}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		ln := serveOn(t, s, scan.Inbound)
		m := ln.dial(t)
		m.negotiate([3]uint32{6, 0x1ff, protocol})
		m.connectFrom("192.0.2.7")
		cfg := s.cfg.Swap(nil) // no settings: MAIL panics
		m.envelope(plain())
		m.content(plain())
		if _, final := m.eom(); !strings.HasPrefix(final.Data, "451 4.3.0 ") {
			t.Errorf("answer %v", final)
		}
		s.cfg.Store(cfg)
		m.send('A')
		if _, final := m.transfer(plain()); final.Code != 'a' {
			t.Errorf("next message: %v", final)
		}
	}
}

func TestSpoolFault(t *testing.T) {
	cfg := testConfig()
	cfg.SpoolMemory, cfg.SpoolDirectory = 0, t.TempDir()+"/missing"
	ln := serve(t, cfg, Deps{}, quiet(), scan.Inbound)
	if _, final := ln.dial(t).hello().transfer(plain()); !strings.HasPrefix(final.Data, "452 4.3.1 ") {
		t.Errorf("answer %v", final)
	}
}

func TestHeaderLimit(t *testing.T) {
	for _, protocol := range []uint32{0x1fffff, 0} {
		cfg := testConfig()
		cfg.MaxHeaderBytes = 64 << 10
		ln := serve(t, cfg, Deps{}, quiet(), scan.Inbound)
		m := ln.dial(t)
		m.negotiate([3]uint32{6, 0x1ff, protocol})
		m.connectFrom("192.0.2.7")
		msg := plain()
		msg.Header = append(msg.Header, slices.Repeat([]string{"X-Long: " + strings.Repeat("x", 1000)}, 500)...)
		msg.Body = strings.Repeat("body\r\n", 50000)
		if _, final := m.transfer(msg); !strings.HasPrefix(final.Data, "552 5.3.4 ") {
			t.Errorf("answer %v", final)
		}
		m.send('A')
		if _, final := m.transfer(plain()); final.Code != 'a' {
			t.Errorf("next message: %v", final)
		}
	}
}

// A session holds neither the body nor the header of a large message.
func TestMemoryIsBounded(t *testing.T) {
	cfg := testConfig()
	cfg.SpoolMemory, cfg.SpoolDirectory = 64<<10, t.TempDir()
	c := &lengths{}
	ln := serve(t, cfg, Deps{Auth: c}, quiet(), scan.Inbound)
	m := ln.dial(t).hello()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m.envelope(plain())
	for i := range 60000 {
		m.event('L', z(itoa(i), ""))
	}
	m.content(mail{Header: append(slices.Repeat([]string{"X-Large: " + strings.Repeat("x", 990)}, 400), "DKIM-Signature: x")})
	chunk := strings.Repeat("0123456789abcde\n", 4095)
	for range 1000 {
		m.event('B', chunk)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if _, final := m.eom(); final.Code != 'a' {
		t.Fatalf("final answer %v", final)
	}
	if c.n < 65_000_000 {
		t.Errorf("the checker saw %d bytes", c.n)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 3<<20 {
		t.Errorf("a message of 65 MB holds %d KB", grown>>10)
	}
}

// lengths counts the bytes of messages.
type lengths struct{ n int64 }

func (l *lengths) Check(_ context.Context, in mailauth.Input) mailauth.Results {
	l.n, _ = io.Copy(io.Discard, in.Body())
	return mailauth.Results{}
}

func TestOneLineOneRecord(t *testing.T) {
	var logged syncBuffer
	j := &records{}
	s := seen{give: scan.Result{Verdict: verdict.Mark, Score: 7, Lines: []verdict.Line{{Name: "SMALL", Score: 1}, {Name: "LARGE", Score: 6}},
		Thresholds: scan.Thresholds{Mark: 6, Reject: 15}}}
	ln := serve(t, testConfig(), Deps{Scan: s.scan, Journal: j}, slog.New(slog.NewTextHandler(&logged, nil)), scan.Inbound)
	m := ln.dial(t).hello()
	msg := plain()
	msg.Rcpt = slices.Repeat(msg.Rcpt, 8)
	m.transfer(msg)
	m.quit()
	if got := logged.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=INFO msg=\"message judged\"") ||
		!strings.Contains(got, "queue_id=4ABCDEF123 client_addr=192.0.2.7") || !strings.Contains(got, "rule=LARGE verdict=mark") ||
		!strings.Contains(got, "and 3 more") {
		t.Errorf("log: %s", got)
	}
	r := j.last(t)
	if len(j.all) != 1 || r.Daemon != "milter" || r.Event != "message" || r.QueueID != "4ABCDEF123" || r.MessageID != "<1@example.net>" ||
		r.ClientPort != 0xc950 || r.ClientAddr.String() != "192.0.2.7" || r.Helo != "client.example.net" || len(r.RcptTo) != 8 ||
		r.Rule != "LARGE" || r.Score != 7 || len(r.Lines) != 2 || r.Service != "inbound" {
		t.Errorf("record %+v", r)
	}
	if got := r.fact("edits"); !strings.HasPrefix(got, "+ Authentication-Results at 1, + X-Spam, ") {
		t.Errorf("edits %q", got)
	}
	if got := r.fact("thresholds"); got != "mark from 6, reject from 15" {
		t.Errorf("thresholds %q", got)
	}
}

// A new configuration holds from the next message on, whole.
func TestReconfigure(t *testing.T) {
	s, err := New(testConfig(), Deps{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	m := serveOn(t, s, scan.Inbound).dial(t).hello()
	m.envelope(plain())
	cfg := testConfig()
	cfg.AuthservID = "new.example.org"
	s.Reconfigure(cfg)
	m.content(plain())
	for _, want := range []string{"mx.example.org;", "new.example.org;"} {
		changes, final := m.eom()
		if final.Code != 'a' || !strings.Contains(changes[0].Data, " "+want) {
			t.Errorf("changes %v, want %s", changes, want)
		}
		m.send('A')
		m.envelope(plain())
		m.content(plain())
	}
}

// The next connection beyond the cap waits for a place; other listeners do not.
func TestConnectionCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.MaxConnections = 2
		s, err := New(cfg, Deps{}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		ln, other := serveOn(t, s, scan.Inbound), serveOn(t, s, scan.Outbound)
		first := ln.dial(t).hello()
		ln.dial(t).hello()
		third := make(chan *mta)
		go func() { third <- ln.dial(t) }()
		synctest.Wait()
		select {
		case <-third:
			t.Error("a third connection was served")
		default:
		}
		other.dial(t).hello().quit()
		first.quit()
		(<-third).hello().quit()
	})
}
