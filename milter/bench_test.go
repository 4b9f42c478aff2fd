package milter

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gomilter "github.com/emersion/go-milter"
	"github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/evidence"
	"github.com/gatepost/gatepost/internal/known"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/state"
)

// The benchmarks run one SMTP session with one message over a Unix socket, as
// Postfix does: a connection each, no answers where none were agreed on.
// BenchmarkMilterBareServer is the same traffic against the guard and the
// library with nothing behind them.

// BenchmarkMilterNull is the smallest message that is accepted: the fields that
// each has, no body. One that is marked waits for the disk.
func BenchmarkMilterNull(b *testing.B) { benchDaemon(b, nullMail(), Deps{Scan: engine(b)}) }

// BenchmarkMilter36KB is the average of mixed real mail.
func BenchmarkMilter36KB(b *testing.B) { benchDaemon(b, averageMail(), Deps{Scan: engine(b)}) }

// BenchmarkMilter36KBAuth is the same, signed, with SPF, DKIM, ARC and DMARC,
// whose DNS is in the cache: with the rules, and without them, as OpenDKIM and
// OpenDMARC do it.
func BenchmarkMilter36KBAuth(b *testing.B) {
	c, msg := signedAuth(b, averageMail())
	for name, rules := range map[string]rules{"rules": engine(b), "alone": nil} {
		b.Run(name, func(b *testing.B) { benchDaemon(b, msg, Deps{Auth: wantPass{b, c}, Scan: rules}) })
	}
}

// BenchmarkMilter36KBLearned is BenchmarkMilter36KB with a learned filter that
// was taught, which keeps what it saw, and the memory of who writes to whom.
func BenchmarkMilter36KBLearned(b *testing.B) {
	l, err := learn.Open(b.Context(), b.TempDir(), learn.Default(), nobody{}, quiet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	teach(b, l)
	st, err := state.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "known.db"), quiet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	e := evidence.New(evidence.Deps{Filter: l, Memory: known.New(st)}, quiet())
	benchDaemon(b, averageMail(), Deps{Scan: engine(b), Evidence: e})
}

// nobody has no mailboxes.
type nobody struct{}

func (nobody) Held(context.Context, string) (bool, error) { return false, nil }
func (nobody) Mailboxes(context.Context) (int, error)     { return 0, nil }

// teach has l learn twenty messages of each class.
func teach(b *testing.B, l *learn.Learner) {
	for i := range 40 {
		raw := fmt.Sprintf("From: a%d@example.net\r\nSubject: %s\r\n\r\n%s\r\n", i, [2]string{"kettles", "minutes"}[i%2],
			strings.Repeat([2]string{"buy our kettles today ", "the minutes of the meeting "}[i%2], i+1))
		item, err := learn.Extract([]byte(raw), learn.TraceConfig{Hostname: "mx.example.org", AuthservID: "mx.example.org"}, new(classify.Features))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := l.Learn(b.Context(), learn.Wish{Source: learn.CLI, Spam: i%2 == 0, Items: []learn.Item{item}}); err != nil {
			b.Fatal(err)
		}
	}
}

// engine is the rules by default, made once, as the daemon that ships has them.
func engine(b *testing.B) rules {
	e, err := scan.New(scan.Default(), scan.Deps{})
	if err != nil {
		b.Fatal(err)
	}
	return func(_ scan.Config, m scan.Message, now time.Time) scan.Result { return e.Scan(m, now) }
}

// signedAuth returns msg with a good signature, and what checks it.
func signedAuth(b *testing.B, msg mail) (*mailauth.Checker, mail) {
	zone := dnstest.NewZone()
	zone.MustAdd("example.net. IN TXT \"v=spf1 include:b.example.net -all\"\nb.example.net. IN TXT \"v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/24 ~all\"\n" +
		"mail.example.net. IN TXT \"v=spf1 a -all\"\nmail.example.net. IN A 192.0.2.7\n_dmarc.example.net. IN TXT \"v=DMARC1; p=reject\"")
	signAverage(b, zone, &msg)
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = srv.Close() })
	cfg := resolver.Default()
	cfg.Servers = []string{srv.Addr()}
	res, err := resolver.New(cfg, quiet())
	if err != nil {
		b.Fatal(err)
	}
	c, err := mailauth.New(res, mailauth.Default(), quiet())
	if err != nil {
		b.Fatal(err)
	}
	return c, msg
}

// rules are what engine returns, or nil.
type rules = func(scan.Config, scan.Message, time.Time) scan.Result

// wantPass fails the benchmark when a message is not what it was signed as.
type wantPass struct {
	b *testing.B
	*mailauth.Checker
}

func (w wantPass) Check(ctx context.Context, in mailauth.Input) mailauth.Results {
	r := w.Checker.Check(ctx, in)
	if r.DMARC.Result != authres.Pass || r.DKIM[0].Result != authres.Pass || r.SPF.MailFrom.Result != authres.Pass {
		w.b.Errorf("results %+v", r)
	}
	return r
}

// signAverage puts a signature in the place of the one that msg has.
func signAverage(b *testing.B, zone *dnstest.Zone, msg *mail) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	zone.AddTXT("s1._domainkey.example.net", "v=DKIM1; p="+base64.StdEncoding.EncodeToString(der))
	msg.Header = slices.DeleteFunc(slices.Clone(msg.Header), func(h string) bool { return strings.HasPrefix(h, "DKIM-Signature:") })
	text := strings.ReplaceAll(strings.Join(msg.Header, "\r\n"), "\r\n\t", "\n\t")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n") + "\r\n\r\n" + msg.Body
	var signed strings.Builder
	if err := dkim.Sign(&signed, strings.NewReader(text), &dkim.SignOptions{
		Domain: "example.net", Selector: "s1", Signer: key, HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"},
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	}); err != nil {
		b.Fatal(err)
	}
	field := strings.TrimSuffix(strings.TrimSuffix(signed.String(), text), "\r\n")
	msg.Header = append([]string{strings.ReplaceAll(field, "\r\n", "\n")}, msg.Header...)
}

// BenchmarkMilterBareServer is what the others are measured against.
func BenchmarkMilterBareServer(b *testing.B) {
	for name, msg := range map[string]mail{"null": nullMail(), "36KB": averageMail()} {
		b.Run(name, func(b *testing.B) {
			benchSessions(b, serveBare(b), msg)
		})
	}
}

// bareServe accepts every message unseen.
func bareServe(g *guard) { serveLibrary(g, bare{g: g}) }

// bare is the library's milter that does nothing, and answers nothing where no
// answer is due.
type bare struct {
	gomilter.NoOpMilter
	g *guard
}

func (b bare) next() (gomilter.Response, error) {
	if b.g.agreed.silent(b.g.cur.Cmd) {
		return nil, nil
	}
	return gomilter.RespContinue, nil
}

func (b bare) Connect(string, string, uint16, net.IP, *gomilter.Modifier) (gomilter.Response, error) {
	return b.next()
}
func (b bare) Helo(string, *gomilter.Modifier) (gomilter.Response, error)     { return b.next() }
func (b bare) MailFrom(string, *gomilter.Modifier) (gomilter.Response, error) { return b.next() }
func (b bare) RcptTo(string, *gomilter.Modifier) (gomilter.Response, error)   { return b.next() }
func (b bare) Header(string, string, *gomilter.Modifier) (gomilter.Response, error) {
	return b.next()
}
func (b bare) Headers(textproto.MIMEHeader, *gomilter.Modifier) (gomilter.Response, error) {
	return b.next()
}
func (b bare) BodyChunk([]byte, *gomilter.Modifier) (gomilter.Response, error) { return b.next() }

func nullMail() mail {
	return mail{From: "<sender@example.net>", Rcpt: []string{"<alice@example.org>"}, Header: []string{
		"From: sender@example.net", "To: alice@example.org", "Subject: hello", "Date: Fri, 20 Nov 2026 06:51:57 +0000", "Message-ID: <1@example.net>",
	}}
}

// averageMail is a message of 36 KB: plain text beside HTML, and a picture.
func averageMail() mail {
	text := strings.Repeat("Some words of a usual length stand in this line of text, and so on.\r\n", 100)
	html := "<html><body>" + strings.Repeat("<p>Some words in a <a href=\"https://www.example.net/a/b?c=d\">paragraph</a> of a page.</p>\r\n", 150) + "</body></html>\r\n"
	picture := strings.Repeat(strings.Repeat("QUJDREVGR0hJSktM", 4)+"\r\n", 240)
	header := []string{
		"Received: from a.example.net (a.example.net [192.0.2.9])\n\tby mail.example.net (Postfix) with ESMTPS id 4XYZ\n\tfor <alice@example.org>; Fri, 20 Nov 2026 06:51:58 +0000 (UTC)",
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net;\n\ts=s1; h=From:To:Subject:Date; bh=AAAA; b=" + strings.Repeat("Q", 300),
		"From: Sender Name <sender@example.net>", "To: Alice <alice@example.org>", "Subject: a usual message with a usual subject",
		"Date: Fri, 20 Nov 2026 06:51:57 +0000", "Message-ID: <123456.7890@example.net>", "MIME-Version: 1.0",
		"Content-Type: multipart/mixed; boundary=\"b1\"", "X-Mailer: Some Mailer 1.0", "List-Unsubscribe: <https://www.example.net/u>",
		"Reply-To: sender@example.net", "In-Reply-To: <1@example.org>", "References: <1@example.org> <2@example.org>",
	}
	body := "--b1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text +
		"--b2\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html + "--b2--\r\n--b1\r\nContent-Type: image/png; name=a.png\r\n" +
		"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a.png\r\n\r\n" + picture + "--b1--\r\n"
	return mail{From: "<sender@example.net>", Rcpt: []string{"<alice@example.org>"}, Header: header, Body: body}
}

func listenUnix(b *testing.B) net.Listener {
	b.Helper()
	ln, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	return ln
}

// benchDaemon has everything on that needs no network: rules, delivery
// verdict, journal, metrics.
func benchDaemon(b *testing.B, msg mail, deps Deps) {
	benchSessions(b, serveDaemon(b, deps), msg)
}

func benchSessions(b *testing.B, addr string, msg mail) {
	head, envelope, content := benchPackets(msg)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if err := benchSession(addr, head, strings.ReplaceAll(envelope, "QUEUEID", fmt.Sprintf("4%06X", n)),
			strings.ReplaceAll(content, "QUEUEID", fmt.Sprintf("4%06X", n))); err != nil {
			b.Fatal(err)
		}
	}
}

// benchPackets returns what Postfix says in three breaths: up to the answer to
// the negotiation, to that to DATA, and to that to the end of message.
func benchPackets(msg mail) (head, envelope, content string) {
	head = pack('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff")
	envelope = pack('D', "C", z("j", "mx.example.org", "{daemon_name}", "mx.example.org", "{client_addr}", "192.0.2.7", "{client_name}", "mail.example.net", "{client_resolve}", "OK")) +
		pack('C', z("mail.example.net")+"4\xc9P"+z("192.0.2.7")) + pack('D', "H") + pack('H', z("mail.example.net")) +
		pack('D', "M", z("{mail_addr}", "sender@example.net")) + pack('M', z(msg.From)) +
		pack('D', "R", z("{rcpt_addr}", "alice@example.org")) + pack('R', z(msg.Rcpt[0])) + pack('D', "T", z("i", "QUEUEID")) + pack('T')
	for _, h := range msg.Header {
		name, value, _ := strings.Cut(h, ":")
		content += pack('D', "L", z("i", "QUEUEID")) + pack('L', z(name, value))
	}
	content += pack('D', "N", z("i", "QUEUEID")) + pack('N')
	if msg.Body != "" {
		content += pack('D', "B", z("i", "QUEUEID")) + pack('B', msg.Body)
	}
	return head, envelope, content + pack('D', "E", z("i", "QUEUEID")) + pack('E')
}

func benchSession(addr, head, envelope, content string) error {
	c, err := net.Dial("unix", addr)
	if err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for _, say := range []string{head, envelope, content} {
		if _, err := io.WriteString(c, say); err != nil {
			return err
		}
		for {
			p, err := readPacket(r)
			if err != nil {
				return err
			}
			if strings.IndexByte("him", p.Code) < 0 {
				if strings.IndexByte("Oca", p.Code) < 0 {
					return fmt.Errorf("answer %v", p)
				}
				break
			}
		}
	}
	if _, err := io.WriteString(c, pack('A')+pack('A')+pack('Q')); err != nil {
		return err
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after QUIT: %w", err)
	}
	return c.Close()
}
