package release

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/lmtp"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/received"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/lmtpd"
)

var quiet = slog.New(slog.DiscardHandler)

const (
	forged = "X-Spam-Status: No\r\n"
	rest   = "From: a@example.net\r\nSubject: x\r\n\r\n.hello\r\n..\r\n\x00\xff\r\n"
)

// ledger is a journal, a meter and a learner in memory.
type ledger struct {
	mu      sync.Mutex
	all     []journal.Record
	learned []string // "user raw"
	err     error    // of learning
}

func (l *ledger) Record(r journal.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r)
}

func (l *ledger) Request(string, string, time.Duration) {}
func (l *ledger) Sessions(string, int)                  {}

func (l *ledger) learn(_ context.Context, raw []byte, user mailaddr.Address) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.learned = append(l.learned, user.String()+" "+string(raw))
	}
	return l.err
}

func (l *ledger) of(daemon string) (out []journal.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.all {
		if r.Daemon == daemon {
			out = append(out, r)
		}
	}
	return out
}

// host has a quarantine, accounts, and a real lmtpd on a socket.
type host struct {
	ledger
	root string
	q    *quarantine.Store
	deps Deps
	rel  *Releaser
}

func newHost(t *testing.T, rows ...string) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{root: filepath.Join(dir, "mail")}
	if err := os.Mkdir(h.root, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := quarantine.Default()
	cfg.MinFree = 0
	q, err := quarantine.Open(filepath.Join(dir, "q"), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := account.OpenSQLite(t.Context(), filepath.Join(dir, "accounts.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = accounts.Close() })
	accounttest.Fill(t, accounts, rows...)
	st, err := state.OpenSQLite(t.Context(), filepath.Join(dir, "state.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	verdicts := delivery.New(st)
	socket := serveLMTP(t, h, lmtpd.Deps{Accounts: accounts, Verdicts: verdicts, Journal: h, Meter: h})
	h.q = q
	h.deps = Deps{Spool: q, Accounts: accounts, Verdicts: verdicts, Learn: h.learn, Journal: h,
		Handover: lmtp.Client{Path: socket, Hostname: "mx.example.org", Timeout: 10 * time.Second}}
	h.rel = h.releaser(t, h.deps)
	return h
}

func (h *host) releaser(t *testing.T, d Deps) *Releaser {
	t.Helper()
	r, err := New(d, "mx.example.org", "+", quiet)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func serveLMTP(t *testing.T, h *host, d lmtpd.Deps) string {
	t.Helper()
	cfg := lmtpd.Default()
	cfg.MailRoot, cfg.Hostname = h.root, "mx.example.org"
	srv, err := lmtpd.New(cfg, d, quiet)
	if err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "gp") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(short, "lmtp")
	ln, err := listen.Unix(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, os.RemoveAll(short)); err != nil {
			t.Error(err)
		}
	})
	return socket
}

// put keeps a message for some recipients.
func (h *host) put(t *testing.T, from string, to ...string) string {
	t.Helper()
	id, err := h.q.Put(t.Context(), quarantine.Entry{
		QueueID: "4XyZ1b2c3dzABC", Arrived: time.Date(2026, 11, 20, 6, 55, 35, 0, time.UTC), MailFrom: from, RcptTo: to, Score: 20,
		Client: quarantine.Client{Addr: netip.MustParseAddr("192.0.2.7"), Helo: "evil) by mx.example.org (Postfix) id X"},
		Edits:  quarantine.Edits{AuthResults: "mx.example.org;\n\tspf=pass", Cut: []quarantine.Span{{Start: 0, End: int64(len(forged))}}},
		Size:   int64(len(forged + rest)),
	}, strings.NewReader(forged+rest))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// mail returns the messages of a mailbox, by folder and content.
func (h *host) mail(t *testing.T, user string) (inbox, junk []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(h.root, "example.org", user), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() || filepath.Base(path) == "maildirfolder" {
			return nil
		}
		b, err := os.ReadFile(path)
		if strings.Contains(path, ".Junk") {
			junk = append(junk, string(b))
		} else {
			inbox = append(inbox, string(b))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return inbox, junk
}

// TestRelease: the message is in the inbox of all who were to have it, once,
// without what was forged, and is learned as ham.
func TestRelease(t *testing.T) {
	h := newHost(t, "example.org", "alice@example.org", "bob@example.org", "carol@example.org",
		"team@example.org=bob@example.org,team2@example.org", "team2@example.org=carol+x@example.org,bob@example.org")
	id := h.put(t, "a@example.net", "Alice+box@Example.org", "team@example.org", "bob@example.org")
	out, err := h.rel.Release(t.Context(), Request{ID: "4XyZ1b2c3dzABC"})
	if err != nil || out.State != quarantine.Released || !out.Learned || len(out.Delivered) != 3 || len(out.Refused) != 0 {
		t.Fatalf("Release = %+v, %v", out, err)
	}
	for _, user := range []string{"alice", "bob", "carol"} {
		inbox, junk := h.mail(t, user)
		if len(inbox) != 1 || len(junk) != 0 {
			t.Fatalf("%s has %d messages in the inbox and %d in Junk", user, len(inbox), len(junk))
		}
		for _, want := range []string{"Return-Path: <a@example.net>\n", "Delivered-To: " + user + "@example.org\n",
			"\nReceived: by mx.example.org (Gatepost) with LMTP id ", "\nReceived: from unknown (unknown [192.0.2.7])\n\tby mx.example.org (Postfix) with SMTP id 4XyZ1b2c3dzABC;\n\tFri, 20 Nov 2026 06:55:35 +0000\n",
			"\nAuthentication-Results: mx.example.org;\n\tspf=pass\n" + strings.ReplaceAll(rest, "\r\n", "\n")} {
			if !strings.Contains(inbox[0], want) {
				t.Errorf("%s has no %q in\n%s", user, want, inbox[0])
			}
		}
		if strings.Contains(inbox[0], "X-Spam") {
			t.Errorf("what was forged is delivered:\n%s", inbox[0])
		}
	}
	if rs := h.of("lmtpd"); len(rs) != 3 || rs[0].Rule != "inbox" || rs[0].QueueID != out.Delivered[0].ID {
		t.Errorf("lmtpd journaled %+v", rs)
	}
	if rs := h.of("quarantine"); len(rs) != 3 || rs[0].QueueID != "4XyZ1b2c3dzABC" || !strings.HasPrefix(rs[0].Reply, "250 2.0.0") {
		t.Errorf("quarantine journaled %+v", rs)
	}
	if len(h.learned) != 3 || !strings.HasPrefix(h.learned[0], "alice@example.org Received: by mx") || !strings.HasSuffix(h.learned[0], rest) {
		t.Errorf("learned %q", h.learned)
	}
	// Again: nobody gets it twice, and nothing is learned twice.
	out, err = h.rel.Release(t.Context(), Request{ID: id})
	if err != nil || len(out.Delivered) != 0 || len(out.Before) != 3 || out.State != quarantine.Released || len(h.learned) != 3 {
		t.Errorf("a second Release = %+v, %v", out, err)
	}
	if inbox, _ := h.mail(t, "alice"); len(inbox) != 1 {
		t.Errorf("alice has it %d times", len(inbox))
	}
}

// TestReleaseToAnother: the entry stays for its recipients.
func TestReleaseToAnother(t *testing.T) {
	h := newHost(t, "example.org", "alice@example.org", "bob@example.org")
	cfg := h.q.Config()
	cfg.DeleteReleased = true
	h.q.Reconfigure(cfg)
	id := h.put(t, "", "alice@example.org")
	out, err := h.rel.Release(t.Context(), Request{ID: id, To: accounttest.Addr(t, "bob@example.org"), NoLearn: true})
	if err != nil || out.State != quarantine.Partly || out.Deleted || out.Learned || len(h.learned) != 0 {
		t.Errorf("Release to bob = %+v, %v", out, err)
	}
	out, err = h.rel.Release(t.Context(), Request{ID: id})
	if err != nil || out.State != quarantine.Released || !out.Deleted || len(out.Delivered) != 1 {
		t.Errorf("Release = %+v, %v", out, err)
	}
	if _, err := h.q.Show(id); !errors.Is(err, quarantine.ErrNotFound) {
		t.Errorf("delete_released: %v", err)
	}
	if _, err := h.rel.Release(t.Context(), Request{ID: id}); !errors.Is(err, quarantine.ErrNotFound) {
		t.Errorf("Release of nothing: %v", err)
	}
}

// TestReleaseInPart: who can have the message has it, the others are told of.
func TestReleaseInPart(t *testing.T) {
	h := newHost(t, "example.org", "alice@example.org", "out@example.org=x@example.com,alice@example.org")
	id := h.put(t, `"odd\`+"\r\n"+`@@`, "out@example.org", "nobody@example.org", "\x00", "b@example.com")
	out, err := h.rel.Release(t.Context(), Request{ID: id})
	var refused []string
	for _, f := range out.Refused {
		refused = append(refused, f.To+": "+f.Why)
	}
	want := []string{"\x00: not an address", "x@example.com: no mailbox here", "nobody@example.org: no mailbox here", "b@example.com: no mailbox here"}
	if err != nil || out.State != quarantine.Partly || len(out.Delivered) != 1 || !slices.Equal(refused, want) {
		t.Errorf("Release = %+v, %v, want refused %q", out, err, want)
	}
	if inbox, _ := h.mail(t, "alice"); len(inbox) != 1 || !strings.HasPrefix(inbox[0], "Return-Path: <>\n") {
		t.Errorf("alice has %q", inbox)
	}
	id = h.put(t, "a@example.net", "b@example.com")
	if out, err := h.rel.Release(t.Context(), Request{ID: id}); !errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), "b@example.com: no mailbox here") {
		t.Errorf("Release = %+v, %v", out, err)
	}
	if it, err := h.q.Show(id); err != nil || it.State != quarantine.Held {
		t.Errorf("it is %v, %v", it.State, err)
	}
}

// breaks is a spool or a handover that dies at a step: what it does from there on
// has not happened.
type breaks struct {
	spool
	handover
	at, count int
	after     bool // dies behind the step
}

var errKilled = errors.New("killed")

func (b *breaks) step(f func() error) error {
	b.count++
	if b.count > b.at || b.count == b.at && !b.after {
		return errKilled
	}
	if err := f(); err != nil || b.count == b.at {
		return errors.Join(err, errKilled)
	}
	return nil
}

func (b *breaks) SetMark(id string, m quarantine.Mark) error {
	return b.step(func() error { return b.spool.SetMark(id, m) })
}

func (b *breaks) Deliver(ctx context.Context, from, to string, n int64, msg io.Reader) (reply string, err error) {
	err = b.step(func() error {
		reply, err = b.handover.Deliver(ctx, from, to, n, msg)
		return err
	})
	if err != nil {
		err = errors.Join(lmtp.ErrAway, err)
	}
	return reply, err
}

func (b *breaks) learn(h *host) func(context.Context, []byte, mailaddr.Address) error {
	return func(ctx context.Context, raw []byte, user mailaddr.Address) error {
		return b.step(func() error { return h.learn(ctx, raw, user) })
	}
}

// TestKilledAtEachStep cuts a release off before and behind each of its steps,
// and does it again: all have the message at least once, at most one of them
// twice, and it is learned.
func TestKilledAtEachStep(t *testing.T) {
	twice := 0
	for n := 1; n <= 9; n++ {
		for _, after := range []bool{false, true} {
			h := newHost(t, "example.org", "alice@example.org", "bob@example.org")
			id := h.put(t, "a@example.net", "alice@example.org", "bob@example.org")
			b := &breaks{spool: h.q, handover: h.deps.Handover, at: n, after: after}
			d := h.deps
			d.Spool, d.Handover, d.Learn = b, b, b.learn(h)
			_, err := h.releaser(t, d).Release(t.Context(), Request{ID: id})
			if died := b.count >= n; died != errors.Is(err, errKilled) {
				t.Fatalf("step %d: %d steps, %v", n, b.count, err)
			}
			out, err := h.rel.Release(t.Context(), Request{ID: id})
			if err != nil || out.State != quarantine.Released || !out.Learned {
				t.Errorf("step %d, after=%v: again: %+v, %v", n, after, out, err)
			}
			copies := 0
			for _, user := range []string{"alice", "bob"} {
				inbox, junk := h.mail(t, user)
				if len(inbox) < 1 || len(junk) > 0 {
					t.Errorf("step %d, after=%v: %s has it %d times", n, after, user, len(inbox))
				}
				copies += len(inbox)
			}
			if copies > 3 {
				t.Errorf("step %d, after=%v: %d copies", n, after, copies)
			}
			if copies == 3 {
				twice++
			}
		}
	}
	if twice == 0 || twice > 4 {
		t.Errorf("a copy twice after %d of the kills", twice)
	}
}

// TestDaemonAway: nothing is marked, and the hint can tell.
func TestDaemonAway(t *testing.T) {
	h := newHost(t, "example.org", "alice@example.org")
	d := h.deps
	d.Handover = lmtp.Client{Path: filepath.Join(h.root, "none"), Hostname: "mx.example.org", Timeout: time.Second}
	id := h.put(t, "a@example.net", "alice@example.org")
	if _, err := h.releaser(t, d).Release(t.Context(), Request{ID: id}); !errors.Is(err, lmtp.ErrAway) {
		t.Errorf("Release = %v", err)
	}
	if it, err := h.q.Show(id); err != nil || it.State != quarantine.Held {
		t.Errorf("it is %v, %v", it.State, err)
	}
}

// TestTwoAtOnce: the second is told, and nobody gets the message twice.
func TestTwoAtOnce(t *testing.T) {
	h := newHost(t, "example.org", "alice@example.org")
	id := h.put(t, "a@example.net", "alice@example.org")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := h.rel.Release(t.Context(), Request{ID: id}); err != nil && !errors.Is(err, ErrBusy) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if inbox, _ := h.mail(t, "alice"); len(inbox) != 1 {
		t.Errorf("alice has it %d times", len(inbox))
	}
}

// TestLearnsLater: what could not be learned is tried again in the background.
func TestLearnsLater(t *testing.T) {
	h := newHost(t, "example.org", "alice@example.org")
	h.err = errors.New("planted")
	id := h.put(t, "a@example.net", "alice@example.org")
	out, err := h.rel.Release(t.Context(), Request{ID: id})
	if err == nil || !strings.Contains(err.Error(), "released, but not learned yet: planted") || len(out.Delivered) != 1 || out.State != quarantine.Released {
		t.Fatalf("Release = %+v, %v", out, err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); h.rel.Run(ctx) }()
		synctest.Wait()
		h.mu.Lock()
		h.err = nil
		h.mu.Unlock()
		time.Sleep(learnEvery + time.Second)
		synctest.Wait()
		cancel()
		<-done
	})
	if it, err := h.q.Show(id); err != nil || !it.Learned || len(h.learned) != 1 {
		t.Errorf("it is %+v, %v, learned %d", it.Mark, err, len(h.learned))
	}
}

// FuzzTop: whatever an entry says, what goes in front of a message is whole
// fields that lmtpd finds the queue id of the release in.
func FuzzTop(f *testing.F) {
	f.Add("mail.example.net", "mail.example.net", "4XyZ", "mx;\n\tspf=pass")
	f.Add("a\r\n\r\nb", "c (d) by mx.example.org (Postfix) id X", "4XyZ", "x\n\ny\r\n")
	f.Fuzz(func(t *testing.T, helo, name, queueID, auth string) {
		for _, c := range queueID {
			if !strings.ContainsRune("ABCXYZabcxyz0123456789", c) {
				return // Put lets no other in
			}
		}
		j := job{r: &Releaser{hostname: "mx.example.org"}, entry: quarantine.Entry{QueueID: queueID,
			Client: quarantine.Client{Helo: helo, Name: name}, Edits: quarantine.Edits{AuthResults: auth}}}
		top := j.top("RELEASE", time.Unix(1, 0))
		lines := strings.Split(strings.TrimSuffix(top, "\r\n"), "\r\n")
		for i, l := range lines {
			if l == "" || strings.ContainsAny(l, "\r\n\x00") || i == 0 && !strings.HasPrefix(l, "Received: ") ||
				l[0] != '\t' && l[0] != ' ' && !strings.HasPrefix(l, "Received: ") && !strings.HasPrefix(l, "Authentication-Results: ") {
				t.Fatalf("line %d is %q in %q", i, l, top)
			}
		}
		value := strings.Join(lines[:2], " ")
		r, ok := received.Parse(strings.TrimPrefix(value, "Received: "), "mx.example.org")
		if !ok || r.QueueID != "RELEASE" {
			t.Fatalf("lmtpd reads %+v, %v from %q", r, ok, value)
		}
	})
}
