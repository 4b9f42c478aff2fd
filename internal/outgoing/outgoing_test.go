package outgoing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/gatepost/gatepost/internal/dsn"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

var quiet = slog.New(slog.DiscardHandler)

func addr(s string) mailaddr.Address {
	a, err := mailaddr.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

func notice(id string) Mail {
	return Mail{Kind: Notice, RcptTo: []mailaddr.Address{addr("alice@example.org")}, MessageID: id,
		Raw: []byte("Subject: x\n\n.hidden\n")}
}

// script is a sender that answers as told, then takes everything.
type script struct {
	mu      sync.Mutex
	answers []error
	got     []envelope
	raws    [][]byte
	at      []time.Time
}

func (s *script) send(_ context.Context, e envelope, raw []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	if len(s.answers) > 0 {
		err := s.answers[0]
		s.answers = s.answers[1:]
		if err != nil {
			return err
		}
	}
	s.got, s.raws = append(s.got, e), append(s.raws, raw)
	return nil
}

func queue(t *testing.T, dir string, s sender) *Queue {
	t.Helper()
	cfg := Default()
	cfg.Address = "127.0.0.1:1"
	q, err := New(cfg, dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	q.sender = s
	return q
}

// run runs q for d of the bubble's time.
func run(t *testing.T, q *Queue, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := q.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []error{errors.New("no connection"), errors.New("no connection")}}
		q := queue(t, t.TempDir(), s)
		if err := q.Add(notice("<1@x>")); err != nil {
			t.Fatal(err)
		}
		if k, ok := q.Wrote("<1@x>"); !ok || k != Notice {
			t.Errorf("Wrote = %q, %v", k, ok)
		}
		run(t, q, 10*time.Minute)
		if len(s.at) != 3 || len(s.got) != 1 || q.Len() != 0 {
			t.Fatalf("%d tries, %d taken, %d left", len(s.at), len(s.got), q.Len())
		}
		if d := s.at[2].Sub(s.at[1]); d < time.Minute {
			t.Errorf("the third try came %v after the second", d)
		}
		if _, ok := q.Wrote("<1@x>"); ok {
			t.Error("a message that was taken is still known")
		}
	})
}

func TestGivesUp(t *testing.T) {
	for name, answers := range map[string][]error{
		"refused": {mailerr.With(mailerr.Permanent, errors.New("554"))},
		"too old": slices.Repeat([]error{errors.New("451")}, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				q := queue(t, dir, &script{answers: answers})
				if err := q.Add(notice("<1@x>")); err != nil {
					t.Fatal(err)
				}
				run(t, q, 6*24*time.Hour)
				kept, err := os.ReadDir(filepath.Join(dir, "failed"))
				if err != nil || len(kept) != 1 || q.Len() != 0 {
					t.Errorf("%d kept, %v, %d wait", len(kept), err, q.Len())
				}
			})
		})
	}
}

// TestSurvives: what was added is sent after a crash, and what a crash left
// half written is not.
// TestLongSender: a redirect that has been passed on twice has a sender above
// the 64 octets of RFC 5321, and was given up as damaged.
func TestLongSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		q := queue(t, t.TempDir(), s)
		from := mailaddr.Address{LocalPart: "SRS1=ABCDEFGHIJKLMNOP=example.org==ABCDEFGHIJKLMNOP=JJ=example.net=dave", Domain: "second.example"}
		m := notice("<long@example.org>")
		m.Kind, m.MailFrom = Redirect, from
		wire, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var again Mail
		if err := json.Unmarshal(wire, &again); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("over the socket it is %+v, %v, want %+v", again, err, m)
		}
		if err := q.Add(again); err != nil {
			t.Fatal(err)
		}
		run(t, q, time.Second)
		if len(s.got) != 1 || s.got[0].MailFrom.Address != from {
			t.Errorf("sent %+v, want one from %s", s.got, from)
		}
	})
}

// TestRefusedRedirect: a redirect that the smtpd refuses for good comes back to
// its sender, who can read why; mail without a sender does not.
func TestRefusedRedirect(t *testing.T) {
	refusal := mailerr.With(mailerr.Permanent, &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such\r\nuser"})
	for _, tc := range []struct {
		name string
		kind Kind
		from mailaddr.Address
		bad  bool // whether its sender may be forged
		want bool
	}{
		{"redirect", Redirect, addr("dave@example.net"), false, true},
		{"redirect of a long sender", Redirect, mailaddr.Address{LocalPart: "SRS0=ABCDEFGHIJKLMNOP=JJ=lists.example.net=bounces+12345-alice=example.com", Domain: "example.org"}, false, true},
		{"redirect of a forgery", Redirect, addr("dave@example.net"), true, false},
		{"redirect of a bounce", Redirect, mailaddr.Address{}, false, false},
		{"notice", Notice, addr("gatepost@example.org"), false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: []error{refusal}}
			q := queue(t, t.TempDir(), s)
			m := notice("<gone@example.org>")
			m.Kind, m.MailFrom, m.Proved = tc.kind, tc.from, !tc.bad
			m.Raw = []byte("Subject: Round\r\nX-Odd: \x00--\r\n\r\nsecret body\r\n")
			if err := q.Add(m); err != nil {
				t.Fatal(err)
			}
			run(t, q, time.Minute)
			if (len(s.got) == 1) != tc.want {
				t.Fatalf("%s: %d messages followed", tc.name, len(s.got))
			}
			if !tc.want {
				return
			}
			e, raw := s.got[0], s.raws[0]
			if e.Kind != Report || !e.MailFrom.IsNull() || e.RcptTo[0].Address != tc.from {
				t.Errorf("%s: %+v", tc.name, e)
			}
			report, ok := dsn.Parse(rawmsg.Scan(raw, rawmsg.Default()))
			if !ok || len(report.Failed) != 1 || report.Failed[0] != m.RcptTo[0] || report.MessageID != "" {
				t.Errorf("%s: a reader sees %+v, %v in\n%s", tc.name, report, ok, raw)
			}
			for _, want := range []string{"Auto-Submitted: auto-replied\n", "Status: 5.1.1\n", "\nSubject: Round\n", "no such  user"} {
				if !strings.Contains(string(raw), want) {
					t.Errorf("%s: no %q in\n%s", tc.name, want, raw)
				}
			}
			if strings.Contains(string(raw), "secret body") {
				t.Errorf("%s: the body comes back:\n%s", tc.name, raw)
			}
		})
	}
}

// TestFailedDirectoryGone: without the directory for what was refused the sender
// was told without end.
func TestFailedDirectoryGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := mailerr.With(mailerr.Permanent, errors.New("no such user"))
		s := &script{answers: []error{refusal, nil, refusal, refusal}}
		path := t.TempDir()
		q := queue(t, path, s)
		if err := os.RemoveAll(filepath.Join(path, "failed")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "failed"), nil, 0o600); err != nil { // and it can not be made
			t.Fatal(err)
		}
		m := notice("<gone@example.org>")
		m.Kind, m.MailFrom, m.Proved = Redirect, addr("dave@example.net"), true
		if err := q.Add(m); err != nil {
			t.Fatal(err)
		}
		run(t, q, time.Minute)
		if n := len(s.at); n < 2 || n > 6 {
			t.Errorf("%d tries within a minute", n)
		}
		reports := 0
		for _, e := range s.got {
			if e.Kind == Report {
				reports++
			}
		}
		if reports != 1 {
			t.Errorf("the sender was told %d times", reports)
		}
	})
}

// TestUnreadable: what could not be read back is not taken.
func TestUnreadable(t *testing.T) {
	m := notice("<odd@example.org>")
	m.MailFrom = mailaddr.Address{LocalPart: strings.Repeat("x", 600), Domain: "example.org"}
	if err := queue(t, t.TempDir(), &script{}).Add(m); !errors.Is(err, ErrInvalid) {
		t.Errorf("Add() = %v, want %v", err, ErrInvalid)
	}
}

func TestSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		q := queue(t, dir, &script{})
		if err := q.Add(notice("<1@x>")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "tmp", "half.mail"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &script{}
		q = queue(t, dir, s)
		if _, ok := q.Wrote("<1@x>"); !ok || q.Len() != 1 {
			t.Errorf("after the crash %d wait", q.Len())
		}
		run(t, q, time.Second)
		if len(s.got) != 1 || s.got[0].RcptTo[0].Address != addr("alice@example.org") {
			t.Errorf("sent %+v", s.got)
		}
	})
}

func TestBounds(t *testing.T) {
	q := queue(t, t.TempDir(), &script{})
	cfg := *q.cfg.Load()
	cfg.MaxMessages = 1
	q.Reconfigure(cfg)
	for name, m := range map[string]Mail{
		"no recipient": {Raw: []byte("x")},
		"empty":        {RcptTo: []mailaddr.Address{addr("a@b.example")}},
	} {
		if err := q.Add(m); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := q.Add(notice("<1@x>")); err != nil {
		t.Fatal(err)
	}
	if err := q.Add(notice("<2@x>")); !errors.Is(err, ErrFull) {
		t.Errorf("over the bound: %v", err)
	}
}

// TestSameMessageID: a redirect that has the Message-ID of a notice is not taken
// for one, and what is left is known.
func TestSameMessageID(t *testing.T) {
	q := queue(t, t.TempDir(), &script{})
	forged := notice("<1@x>")
	forged.Kind = Redirect
	for _, m := range []Mail{forged, notice("<1@x>"), notice("<1@x>")} {
		if err := q.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	for left := 3; left > 0; left-- {
		if k, ok := q.Wrote("<1@x>"); !ok || k != Redirect {
			t.Errorf("with %d waiting: %q, %v", left, k, ok)
		}
		q.forget("", "<1@x>")
	}
	if _, ok := q.Wrote("<1@x>"); ok {
		t.Error("nothing waits, and it is known")
	}
}

// TestFailedIsBounded: what nobody takes does not fill the disk.
func TestFailedIsBounded(t *testing.T) {
	d := dir(t.TempDir())
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	for i := range maxFailed + 5 {
		if err := os.WriteFile(d.in("failed", fmt.Sprintf("%05d.mail", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(d.in("new", "99999.mail"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.fail("99999.mail"); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadDir(d.in("failed"))
	if err != nil || len(kept) != maxFailed || kept[maxFailed-1].Name() != "99999.mail" {
		t.Errorf("%d kept, %v", len(kept), err)
	}
}

// server is a real smtpd.
type server struct {
	mu   sync.Mutex
	seen []string
	data []byte
	opts smtp.MailOptions
}

func (s *server) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, what)
}

func (s *server) NewSession(*smtp.Conn) (smtp.Session, error) { return s, nil }
func (s *server) AuthMechanisms() []string                    { return []string{sasl.Plain} }
func (s *server) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "machine" || password != "secret word" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}
func (s *server) Mail(from string, o *smtp.MailOptions) error {
	s.note("from " + from)
	s.opts = *o
	return nil
}
func (s *server) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody") {
		return &smtp.SMTPError{Code: 550, Message: "no such user"}
	}
	s.note("to " + to)
	return nil
}
func (s *server) Data(r io.Reader) (err error) { s.data, err = io.ReadAll(r); return err }
func (s *server) Reset()                       {}
func (s *server) Logout() error                { return nil }

func TestSMTP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	be := &server{}
	srv := smtp.NewServer(be)
	srv.AllowInsecureAuth, srv.EnableSMTPUTF8 = true, true
	go srv.Serve(ln)
	defer srv.Close()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("secret word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Address: ln.Addr().String(), User: "machine", PasswordFile: path, Hostname: "mx.example.org"}
	s := &smtpSender{cfg: func() *Config { return &cfg }}
	m := notice("<1@x>")
	e := envelope{RcptTo: []reversePath{{m.RcptTo[0]}}}
	if err := s.send(t.Context(), e, m.Raw); err != nil {
		t.Fatal(err)
	}
	if want := []string{"from ", "to alice@example.org"}; !reflect.DeepEqual(be.seen, want) || string(be.data) != "Subject: x\r\n\r\n.hidden\r\n" {
		t.Errorf("the server saw %q and %q", be.seen, be.data)
	}
	if be.opts.UTF8 {
		t.Errorf("plain text was sent with %+v", be.opts)
	}
	if err := s.send(t.Context(), e, []byte("Subject: ü\n\nü\n")); err != nil || !be.opts.UTF8 || be.opts.Body != smtp.Body8BitMIME {
		t.Errorf("UTF-8 was sent with %+v, %v", be.opts, err)
	}
	e.RcptTo = []reversePath{{addr("nobody@example.org")}}
	if err := s.send(t.Context(), e, m.Raw); err == nil || mailerr.ClassOf(err) != mailerr.Permanent {
		t.Errorf("unknown recipient: %v", err)
	}
	be.seen = nil
	e.RcptTo = []reversePath{{addr("nobody@example.org")}, {addr("alice@example.org")}}
	var some *partly
	if err := s.send(t.Context(), e, m.Raw); !errors.As(err, &some) || !strings.Contains(err.Error(), "nobody@") || !slices.Contains(be.seen, "to alice@example.org") {
		t.Errorf("one unknown of two: %v, the server saw %q", err, be.seen)
	}
	if err := os.WriteFile(path, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.send(t.Context(), e, m.Raw); err == nil || mailerr.ClassOf(err) != mailerr.Transient || strings.Contains(err.Error(), "wrong") {
		t.Errorf("wrong password: %v", err)
	}
	srv.Close()
	if err := s.send(t.Context(), e, m.Raw); err == nil || mailerr.ClassOf(err) != mailerr.Transient {
		t.Errorf("no server: %v", err)
	}
}

func TestValidate(t *testing.T) {
	good := Default()
	good.Address, good.User, good.PasswordFile = "127.0.0.1:10587", "machine", "/etc/gatepost/outgoing.secret"
	for _, c := range []Config{Default(), good} {
		if err := c.Validate(); err != nil {
			t.Errorf("Validate(%+v) = %v", c, err)
		}
	}
	away := good
	away.Address = "192.0.2.1:25"
	for name, c := range map[string]Config{"elsewhere": away, "no login": {Address: "127.0.0.1:25", GiveUp: good.GiveUp, MaxMessages: 1}} {
		if c.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	good, err := encode(notice("<1@x>"), time.Unix(1, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		e, raw, err := decode(bytes.NewReader(file))
		if err != nil {
			return
		}
		again, err := encode(Mail{Kind: e.Kind, MailFrom: e.MailFrom.Address, RcptTo: plain(e.RcptTo), Proved: e.Proved, MessageID: e.MessageID, Raw: raw}, e.Added)
		if err != nil {
			t.Fatal(err)
		}
		if e2, raw2, err := decode(bytes.NewReader(again)); err != nil || !reflect.DeepEqual(e, e2) || !bytes.Equal(raw, raw2) {
			t.Errorf("%+v comes back as %+v, %v", e, e2, err)
		}
	})
}

// breaking takes a message and then takes the disk away.
type breaking struct {
	script
	q *Queue
}

func (b *breaking) send(ctx context.Context, e envelope, raw []byte) error {
	b.q.dir += "/gone"
	return b.script.send(ctx, e, raw)
}

// TestTakenOnce: a message that can not be removed from the spool is not sent
// again while this process knows of it.
func TestTakenOnce(t *testing.T) {
	path := t.TempDir()
	s := &breaking{}
	q := queue(t, path, s)
	s.q = q
	if err := q.Add(notice("<1@x>")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		q.round(t.Context())
		q.dir = dir(path)
	}
	if len(s.got) != 1 || q.Len() != 0 {
		t.Errorf("sent %d times, %d wait, want once and none", len(s.got), q.Len())
	}
}

func plain(all []reversePath) (out []mailaddr.Address) {
	for _, p := range all {
		out = append(out, p.Address)
	}
	return out
}
