package policyd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/metric"
	"github.com/gatepost/gatepost/internal/state"
)

// benchConns is how many smtpd ask at once.
const benchConns = 16

// benchUsers are so many that most stay below their limit.
const benchUsers = 300

// benchDeps are the real stores, journal and metrics, in files of the
// benchmark, with benchUsers users of example.org.
func benchDeps(b *testing.B) (Deps, *journal.Journal) {
	b.Helper()
	ctx, dir := context.Background(), b.TempDir()
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	accounts, err := account.OpenSQLite(ctx, filepath.Join(dir, "accounts.db"), quiet)
	check(err)
	counters, err := state.OpenSQLite(ctx, filepath.Join(dir, "state.db"), quiet)
	check(err)
	records, err := journal.Open(ctx, filepath.Join(dir, "journal.db"), journal.Default(), quiet)
	check(err)
	b.Cleanup(func() { _, _, _ = accounts.Close(), counters.Close(), records.Close() })
	check(accounts.AddDomain(ctx, "example.org"))
	for i := range benchUsers {
		check(accounts.AddUser(ctx, account.User{Addr: addr(fmt.Sprintf("u%d@example.org", i))}))
	}
	check(accounts.AddAlias(ctx, account.Alias{Addr: addr("info@example.org"), To: []mailaddr.Address{addr("u1@example.org")}}))
	return Deps{Accounts: accounts, Limits: limit.New(counters), Journal: records, Meter: metric.New("bench")}, records
}

// infoLog is the default log, into nothing.
func infoLog() *slog.Logger { return slog.New(slog.NewJSONHandler(io.Discard, nil)) }

// askEach lets benchConns connections write what next gives and read the
// answer, b.N times in all.
func askEach(b *testing.B, ln net.Listener, next func(conn, i int, buf []byte) []byte, read func(*bufio.Reader) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for n := range benchConns {
		conn, err := net.Dial("unix", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer func() { _ = conn.Close() }()
			r := bufio.NewReaderSize(conn, 512)
			var buf []byte
			for i := 0; left.Add(-1) >= 0; i++ {
				buf = next(n, i, buf[:0])
				if _, err := conn.Write(buf); err != nil {
					b.Error(err)
					return
				}
				if err := read(r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// readReply reads up to the empty line.
func readReply(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 1 {
			return nil
		}
	}
}

// usualRequest has the attributes of Postfix 3.7, in its order, for a recipient
// of a logged-in user.
func usualRequest(user, n string) string {
	return "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n" +
		"client_address=198.51.100.7\nclient_name=laptop.isp.example\nclient_port=40123\n" +
		"reverse_client_name=laptop.isp.example\nserver_address=192.0.2.1\nserver_port=587\n" +
		"helo_name=[192.168.7.7]\nsender=" + user + "\nrecipient=dave@example.net\nrecipient_count=0\n" +
		"queue_id=\ninstance=1f4.6affed5e." + n + ".0\nsize=0\netrn_domain=\nstress=\n" +
		"sasl_method=PLAIN\nsasl_username=" + user + "\nsasl_sender=\nccert_subject=\nccert_issuer=\n" +
		"ccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=TLSv1.3\n" +
		"encryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\npolicy_context=submission\n\n"
}

// submissionRequest is what Postfix sends for a user: RCPT and DATA in turn,
// each pair a mail of its own.
func submissionRequest(b *testing.B) func(conn, i int, buf []byte) []byte {
	pattern := usualRequest("@USER@", "@N@")
	data := strings.Replace(pattern, "protocol_state=RCPT", "protocol_state=DATA", 1)
	data = strings.Replace(data, "recipient_count=0", "recipient_count=1", 1)
	// The parts around sender, instance and sasl_username.
	split := func(s string) []string { return strings.Split(strings.ReplaceAll(s, "@N@", "@USER@"), "@USER@") }
	kinds := [2][]string{split(pattern), split(data)}
	return func(conn, i int, buf []byte) []byte {
		part, mail := kinds[i%2], i/2
		user := func() {
			buf = append(buf, 'u')
			buf = strconv.AppendInt(buf, int64((conn*61+mail)%benchUsers), 10)
			buf = append(buf, "@example.org"...)
		}
		buf = append(buf, part[0]...)
		user()
		buf = append(buf, part[1]...)
		buf = strconv.AppendInt(buf, int64(conn), 16)
		buf = append(buf, '.')
		buf = strconv.AppendInt(buf, int64(mail), 16)
		buf = append(buf, part[2]...)
		user()
		return append(buf, part[3]...)
	}
}

// benchConfig is the default configuration with three limits and ten rules as an
// administrator writes them, of which none matches.
func benchConfig() Config {
	c := Default()
	c.Limits = append(c.Limits,
		limit.Limit{Name: "messages", Of: limit.Messages, Rate: limit.Per(10_000, 24*time.Hour)},
		limit.Limit{Name: "network", By: limit.ByClientNetwork, Rate: limit.Per(1<<40, time.Hour)})
	for i, when := range []string{
		`sender_domain == "blocked.example" and recipient_local`,
		`ip_in(client_address, "203.0.113.0/24", "2001:db8:bad::/48")`,
		`client_name endsWith ".dynamic.example" and helo_name startsWith "["`,
		`helo_name matches "^(localhost|friend|user)$"`,
		`recipient_domain in ["one.example", "two.example", "three.example"]`,
		`account.domain == "guests.example" and recipient_domain != "example.org"`,
		`encryption_protocol in ["TLSv1", "TLSv1.1"] and sasl_method == "LOGIN"`,
		`under(sender_domain, "newsletter.example") and (hour < 6 or hour >= 22)`,
		`size > 52428800 and policy_context == "submission"`,
		`lower(sender) startsWith "noreply@" and weekday in ["saturday", "sunday"]`,
	} {
		c.Rules = append(c.Rules, Rule{Name: fmt.Sprint("r", i), When: When{Expr: when}, Action: "REJECT no"})
	}
	return c
}

// BenchmarkPolicyRequest asks the server with three limits and ten rules, with
// real stores, journal, log and metrics.
func BenchmarkPolicyRequest(b *testing.B) {
	deps, records := benchDeps(b)
	s, err := New(benchConfig(), deps, infoLog())
	if err != nil {
		b.Fatal(err)
	}
	ln := unixListener(b)
	serve(b, s.Serve, ln)
	askEach(b, ln, submissionRequest(b), readReply)
	b.ReportMetric(100*float64(records.Dropped())/float64(b.N), "%dropped")
}

// BenchmarkPolicyInbound asks for strangers' mail.
func BenchmarkPolicyInbound(b *testing.B) {
	deps, records := benchDeps(b)
	s, err := New(Default(), deps, infoLog())
	if err != nil {
		b.Fatal(err)
	}
	ln := unixListener(b)
	serve(b, s.Serve, ln)
	next := submissionRequest(b)
	askEach(b, ln, func(conn, i int, buf []byte) []byte {
		return bytes.Replace(next(conn, i, buf), []byte("sasl_username="), []byte("x="), 1)
	}, readReply)
	b.ReportMetric(100*float64(records.Dropped())/float64(b.N), "%dropped")
}

// bareServer answers reply to each message that ends with end, and nothing
// else: what any Go server costs at least.
func bareServer(b *testing.B, end, reply []byte) net.Listener {
	ln := unixListener(b)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				buf := make([]byte, 4096)
				at := 0
				for {
					n, err := conn.Read(buf[at:])
					if err != nil {
						return
					}
					if at += n; !bytes.HasSuffix(buf[:at], end) {
						continue
					}
					at = 0
					if _, err := conn.Write(reply); err != nil {
						return
					}
				}
			})
		}
	})
	b.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln
}

// BenchmarkPolicyBareServer is the anchor of BenchmarkPolicyRequest.
func BenchmarkPolicyBareServer(b *testing.B) {
	ln := bareServer(b, []byte("\n\n"), []byte("action=DUNNO\n\n"))
	askEach(b, ln, submissionRequest(b), readReply)
}

// lookups asks the three maps in turn, half for users that are there.
func lookups(conn, i int, buf []byte) []byte {
	if i%3 == 0 {
		return appendNetstring(buf, MapDomains+" example.org")
	}
	name := [...]string{MapMailboxes, MapAliases}[i%2]
	return appendNetstring(buf, name+" u"+strconv.Itoa((conn*61+i)%(2*benchUsers))+"@example.org")
}

func readLookup(r *bufio.Reader) error {
	_, err := r.ReadSlice(',')
	return err
}

// BenchmarkSocketmap asks the table server with real stores and metrics.
func BenchmarkSocketmap(b *testing.B) {
	deps, _ := benchDeps(b)
	s, err := NewSocketmap(Default(), deps, infoLog())
	if err != nil {
		b.Fatal(err)
	}
	ln := unixListener(b)
	serve(b, s.Serve, ln)
	askEach(b, ln, lookups, readLookup)
}

// BenchmarkSocketmapBareServer is the anchor of BenchmarkSocketmap.
func BenchmarkSocketmapBareServer(b *testing.B) {
	ln := bareServer(b, []byte(","), []byte("9:NOTFOUND ,"))
	askEach(b, ln, lookups, readLookup)
}

func BenchmarkParseRequest(b *testing.B) {
	one := []byte(usualRequest("alice@example.org", "1"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(one); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := policyOf(b, nil)
	req := outbound(StateRcpt, "alice@example.org")
	b.ReportAllocs()
	for b.Loop() {
		Decide(p, req, good, time.Time{})
	}
}

// BenchmarkRules asks ten rules about one recipient.
func BenchmarkRules(b *testing.B) {
	p := policyOf(b, func(c *Config) { c.Rules = benchConfig().Rules })
	req := outbound(StateRcpt, "alice@example.org")
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		Decide(p, req, good, now)
	}
}

// BenchmarkAnswer is BenchmarkPolicyRequest without sockets and journal: one
// connection, what this package and the stores cost.
func BenchmarkAnswer(b *testing.B) {
	deps, _ := benchDeps(b)
	deps.Journal = nil
	s, err := New(benchConfig(), deps, infoLog())
	if err != nil {
		b.Fatal(err)
	}
	talk, next := &policyTalk{server: s}, submissionRequest(b)
	var request, answer []byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		request = next(0, i, request[:0])
		if answer, err = talk.answer(context.Background(), request, answer[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
