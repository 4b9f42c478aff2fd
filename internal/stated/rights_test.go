package stated

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/notice"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

// heard notes what the other parts are told.
type heard struct {
	mu   sync.Mutex // guards all
	what []string
}

func (h *heard) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.what = append(h.what, s)
}

func (h *heard) has(s string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(strings.Join(h.what, "\n"), s)
}

func (h *heard) Record(r journal.Record)    { h.note("record " + r.Daemon + " " + r.Event) }
func (h *heard) Tell(e notice.Event)        { h.note("notice " + e.Title + " " + e.Window.String()) }
func (h *heard) Sent(s abuse.Sent)          { h.note("sent " + s.User) }
func (h *heard) Bounced(b abuse.Bounced)    { h.note("bounced " + b.QueueID) }
func (h *heard) Refused(r abuse.Refused)    { h.note("refused " + r.User) }
func (h *heard) Login(l abuse.Login)        { h.note("login " + l.User + " " + l.Client.String()) }
func (h *heard) Add(m outgoing.Mail) error  { h.note("mail " + string(m.Raw)); return outgoing.ErrFull }
func (h *heard) NoteFiled(b string, _ bool) { h.note("filed " + b) }

func (h *heard) Wrote(id string) (outgoing.Kind, bool) { return "notice", id == "<1@x>" }

func (h *heard) ScoreItem(b []byte) (classify.Score, error) { return classify.Score{Logit: 3}, nil }
func (h *heard) Keep(t learn.Trace, _ *classify.Features)   { h.note("keep " + t.QueueID) }
func (h *heard) ReportWatch(w learn.WatchStatus)            { h.note("watch " + w.Problem) }
func (h *heard) Filed(_ context.Context, base string) (junk, ok bool) {
	return true, base == "known"
}

func (h *heard) Learn(_ context.Context, w learn.Wish) (learn.Result, error) {
	h.note("learn " + w.User)
	return learn.Result{Outcomes: []learn.Outcome{{ID: 7}}}, nil
}

func (h *heard) Seen(_ context.Context, mailbox string) ([]byte, error) { return []byte(mailbox), nil }
func (h *heard) SetSeen(_ context.Context, mailbox string, b []byte) error {
	h.note("seen " + mailbox + " " + string(b))
	return nil
}

// stored is a quarantine.
type stored struct {
	h    *heard
	err  error
	size int64
}

func (s *stored) Put(_ context.Context, e quarantine.Entry, msg io.Reader) (string, error) {
	if s.err != nil {
		return "", s.err
	}
	n, err := io.Copy(io.Discard, msg)
	if err != nil {
		s.h.note("broken")
		return "", err
	}
	s.size = n
	return "id-" + e.QueueID, nil
}

// parts are all that a Server serves, with alice@example.org and a signing key.
type parts struct {
	Parts
	heard *heard
	kept  *stored
	hub   *Hub
	keys  *keys.Store
	sql   *account.SQLite
	dir   string
}

var alice = mailaddr.Address{LocalPart: "alice", Domain: "example.org"}

func newParts(t testing.TB) *parts {
	t.Helper()
	p := &parts{heard: &heard{}, dir: shortDir(t)}
	p.kept = &stored{h: p.heard}
	s, err := state.OpenSQLite(t.Context(), filepath.Join(p.dir, "state.db"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if p.sql, err = account.OpenSQLite(t.Context(), filepath.Join(p.dir, "accounts.db"), quiet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.sql.Close() })
	if p.keys, err = keys.Open(filepath.Join(p.dir, "dkim"), quiet()); err != nil {
		t.Fatal(err)
	}
	_, err = p.keys.Create("example.org", "s1", keys.Ed25519)
	p.keys.Reconfigure(keys.Default())
	err = errors.Join(err, p.sql.AddDomain(t.Context(), "example.org"),
		p.sql.AddUser(t.Context(), account.User{Addr: alice, Password: secret.String("{PLAIN}planted")}),
		p.sql.AddAppPassword(t.Context(), account.AppPassword{User: alice, Name: "phone", Hash: secret.String("{PLAIN}planted")}))
	if err != nil {
		t.Fatal(err)
	}
	p.hub = NewHub(s)
	h := p.heard
	p.Parts = Parts{State: p.hub, Accounts: p.sql, Journal: h, Learn: h, Quarantine: p.kept, Outgoing: h, Notices: h, Abuse: h, Keys: p.keys,
		SRS: func() ([]secret.Value, error) { return []secret.Value{secret.String("srs key")}, nil }}
	return p
}

// as serves p to a client with what daemon may do.
func (p *parts) as(t testing.TB, daemon string) *Client {
	t.Helper()
	srv := serve(t, filepath.Join(p.dir, daemon), p.Parts, GrantOf(daemon))
	return dial(t, srv.path)
}

// calls are what a daemon may ask, and who may.
var calls = []struct {
	name string
	may  string
	ask  func(ctx context.Context, c *Client) error
}{
	{"a name", "milter policyd authd lmtpd", func(ctx context.Context, c *Client) error { _, err := c.Accounts().User(ctx, alice); return err }},
	{"a hash", "authd", func(ctx context.Context, c *Client) error {
		_, err := c.Accounts().Fresh().User(ctx, alice)
		return err
	}},
	{"app passwords", "authd", func(ctx context.Context, c *Client) error {
		_, err := c.Accounts().AppPasswords(ctx, alice)
		return err
	}},
	{"the key of salts", "authd", func(ctx context.Context, c *Client) error { _, err := c.Accounts().OwnKey(ctx, "scram"); return err }},
	{"another hash", "authd", func(ctx context.Context, c *Client) error {
		return c.Accounts().Rehash(ctx, alice, secret.String("{PLAIN}planted"), secret.String("{PLAIN}planted"), func(secret.Value) error { return nil })
	}},
	{"a new user", "", func(ctx context.Context, c *Client) error {
		return c.Accounts().AddUser(ctx, account.User{Addr: mailaddr.Address{LocalPart: "eve", Domain: "example.org"}})
	}},
	{"another password", "", func(ctx context.Context, c *Client) error {
		return c.Accounts().SetPassword(ctx, alice, secret.String("{PLAIN}x"))
	}},
	{"a grant", "", func(ctx context.Context, c *Client) error { return c.Accounts().AddGrant(ctx, alice, alice) }},
	{"an allow entry", "", func(ctx context.Context, c *Client) error { return c.Accounts().RemoveAccess(ctx, true, "x", "") }},
	{"a ban", "milter policyd authd", func(ctx context.Context, c *Client) error {
		return c.State().Put(ctx, state.Ban, state.Entry{Key: "k", Expires: time.Now().Add(time.Hour)}, false)
	}},
	{"a verdict to keep", "milter", func(ctx context.Context, c *Client) error {
		return c.State().Put(ctx, state.Delivery, state.Entry{Key: "k", Expires: time.Now().Add(time.Hour)}, false)
	}},
	{"a verdict to read", "milter lmtpd", func(ctx context.Context, c *Client) error {
		_, err := c.State().List(ctx, state.Delivery, "")
		return err
	}},
	{"what scripts remember", "lmtpd", func(ctx context.Context, c *Client) error { return c.State().Delete(ctx, state.Sieve, "k") }},
	{"a count", "policyd lmtpd", func(ctx context.Context, c *Client) error {
		_, err := c.State().Take(ctx, "k", 1, 10, time.Hour)
		return err
	}},
	{"what was counted alone", "policyd", func(ctx context.Context, c *Client) error {
		return c.State().Remote().Merge(ctx, "id", []state.Merged{{Key: "k", Max: 10, Window: time.Hour, Grants: []state.Grant{{N: 1}}}})
	}},
	{"signing keys", "milter", func(ctx context.Context, c *Client) error { _, err := c.Keys(ctx); return err }},
	{"keys of senders", "milter policyd lmtpd", func(ctx context.Context, c *Client) error { _, err := c.SRSKeys(ctx); return err }},
	{"a message for the quarantine", "milter", func(ctx context.Context, c *Client) error {
		_, err := c.Quarantine().Put(ctx, quarantine.Entry{}, strings.NewReader("x"))
		return err
	}},
	{"what is learned", "lmtpd", func(ctx context.Context, c *Client) error {
		_, err := c.Learner().Learn(ctx, learn.Wish{Source: learn.Move})
		return err
	}},
	{"what an administrator says is learned", "", func(ctx context.Context, c *Client) error {
		_, err := c.Learner().Learn(ctx, learn.Wish{Source: learn.CLI})
		return err
	}},
	{"another key of the account store", "", func(ctx context.Context, c *Client) error { _, err := c.Accounts().OwnKey(ctx, "any"); return err }},
	{"a write to the account store", "", func(ctx context.Context, c *Client) error { return c.Accounts().Writable(ctx) }},
	{"counters at zero", "", func(ctx context.Context, c *Client) error { return c.State().Reset(ctx, "k") }},
	{"all counters", "", func(ctx context.Context, c *Client) error { _, err := c.State().Counters(ctx, ""); return err }},
	{"a rate set by hand", "", func(ctx context.Context, c *Client) error {
		return c.State().Put(ctx, state.Limit, state.Entry{Key: "rate/k", Expires: time.Now().Add(time.Hour)}, false)
	}},
	{"mail of our own", "lmtpd", func(_ context.Context, c *Client) error {
		if err := c.Outgoing(nil).Add(outgoing.Mail{Raw: []byte("x")}); !errors.Is(err, outgoing.ErrFull) {
			return err
		}
		return nil
	}},
}

// TestRights: each daemon may what it needs, and is refused the rest.
func TestRights(t *testing.T) {
	for _, d := range append(Daemons(), "nobody") {
		c := newParts(t).as(t, d)
		for _, call := range calls {
			err := call.ask(t.Context(), c)
			if may := d != "nobody" && strings.Contains(call.may, d); may && err != nil || !may && !errors.Is(err, ErrForbidden) {
				t.Errorf("%s asks for %s: %v, may: %v", d, call.name, err, may)
			}
		}
	}
}

// TestHashesStay: who may read names never sees a hash, in whatever list.
func TestHashesStay(t *testing.T) {
	c := newParts(t).as(t, Milter)
	u, err := c.Accounts().User(t.Context(), alice)
	if err != nil || !u.Password.IsEmpty() {
		t.Errorf("User() = %+v with a hash of %d bytes, %v", u, len(u.Password.Reveal()), err)
	}
	all, err := c.Accounts().Users(t.Context(), "")
	if err != nil || len(all) != 1 || !all[0].Password.IsEmpty() {
		t.Errorf("Users() = %+v, %v", all, err)
	}
	k, err := c.Keys(t.Context())
	if err != nil || len(k.Active("Example.ORG.")) != 1 || k.Waiting("example.org") {
		t.Fatalf("Keys() = %+v, %v", k, err)
	}
	// No private key came over: it signs all the same.
	values, err := k.Sign(k.Active("example.org"), strings.NewReader("From: alice@example.org\r\n\r\nhello\r\n"))
	if err != nil || len(values) != 1 || !strings.Contains(values[0], "d=example.org;\n\ts=s1;") {
		t.Errorf("Sign() = %q, %v", values, err)
	}
	if _, err := k.Sign(k.Active("example.org"), strings.NewReader("Subject: x\r\n\r\nhello\r\n")); !errors.Is(err, keys.ErrNoFrom) {
		t.Errorf("Sign() without From = %v", err)
	}
}

// TestTold: what is told arrives, and each daemon is believed in its own matters
// only.
func TestTold(t *testing.T) {
	p := newParts(t)
	addr := netip.MustParseAddr("192.0.2.7")
	for d, tell := range map[string]func(c *Client){
		Milter: func(c *Client) {
			c.Journal().Record(journal.Record{Daemon: "milter", Event: "message"})
			c.Journal().Record(journal.Record{Daemon: "authd", Event: "forged"})
			c.Events().Sent(abuse.Sent{User: "alice@example.org", RcptTo: []mailaddr.Address{alice}})
			c.Events().Bounced(abuse.Bounced{QueueID: "4XyZ"})
			c.Events().Login(abuse.Login{User: "forged"})
			c.Learner().Keep(learn.Trace{QueueID: "4XyZ"}, new(classify.Features))
		},
		Policyd: func(c *Client) {
			c.Events().Refused(abuse.Refused{User: "bob@example.org"})
			c.Events().Tell(notice.Event{Title: "limit", Window: time.Hour})
			c.Events().Sent(abuse.Sent{User: "forged"})
		},
		Authd: func(c *Client) { c.Events().Login(abuse.Login{User: "alice", Client: addr}) },
		Lmtpd: func(c *Client) {
			c.Learner().NoteFiled("base", true)
			c.Learner().ReportWatch(learn.WatchStatus{Problem: "no"})
		},
	} {
		c := p.as(t, d)
		tell(c)
		if err := c.Close(); err != nil { // sends what waits
			t.Error(err)
		}
	}
	for _, want := range []string{"record milter message", "sent alice@example.org", "bounced 4XyZ", "keep 4XyZ",
		"refused bob@example.org", "notice limit 1h0m0s", "login alice 192.0.2.7", "filed base", "watch no"} {
		if !p.heard.has(want) {
			t.Errorf("%q was not heard: %q", want, p.heard.what)
		}
	}
	if p.heard.has("forged") {
		t.Errorf("a daemon is believed in another's matters: %q", p.heard.what)
	}
}
