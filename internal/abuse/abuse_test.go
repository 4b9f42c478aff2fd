package abuse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/geo"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

var quiet = slog.New(slog.DiscardHandler)

func addr(s string) mailaddr.Address {
	a, err := mailaddr.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// memory is a state in a map.
type memory struct {
	mu   sync.Mutex
	rows map[string]state.Entry
	away error
}

func (m *memory) Get(_ context.Context, _ state.Table, key string) (state.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.rows[key]
	if m.away != nil {
		return e, m.away
	}
	if !ok || !time.Now().Before(e.Expires) {
		return e, state.ErrNotFound
	}
	return e, nil
}

func (m *memory) Put(_ context.Context, t state.Table, e state.Entry, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t != state.Sent || len(e.Key) > state.MaxKeyBytes || len(e.Value) > state.MaxValueBytes || time.Until(e.Expires) > state.MaxWindow {
		return state.ErrInvalid
	}
	if m.away != nil {
		return m.away
	}
	if m.rows == nil {
		m.rows = map[string]state.Entry{}
	}
	m.rows[e.Key] = e
	return nil
}

// acts notes what is to be done.
type acts struct {
	cases []Case
	err   error
}

func (a *acts) Act(_ context.Context, c Case) error {
	a.cases = append(a.cases, c)
	return a.err
}

// last returns the worst action so far.
func (a *acts) worst() Action {
	w := Nothing
	for _, c := range a.cases {
		if c.Verdict.Action == Hold || w == Nothing {
			w = c.Verdict.Action
		}
	}
	return w
}

func watcher(t *testing.T, m *memory, a *acts, change func(*Config)) *Watcher {
	t.Helper()
	cfg := Default()
	cfg.Mode, cfg.Settle = unit.Enforce, 0
	if change != nil {
		change(&cfg)
	}
	w, err := New(t.Context(), cfg, Deps{State: m, Act: a, Places: func(a netip.Addr) geo.Place {
		return geo.Place{Country: fmt.Sprintf("%c%c", 'A'+a.As4()[0]%26, 'A'+a.As4()[0]/26)}
	}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// do judges an event at once, as Run would.
func (w *Watcher) do(t *testing.T, e event) { t.Helper(); w.one(t.Context(), e) }

func mail(user string, rcpts ...string) *Sent {
	s := &Sent{At: time.Now(), User: user, MailFrom: addr(user), From: addr(user), Client: netip.MustParseAddr("192.0.2.7"), Scanned: true}
	for _, r := range rcpts {
		s.RcptTo = append(s.RcptTo, addr(r))
	}
	return s
}

func rcpts(r *rand.Rand, n int) []mailaddr.Address {
	out := make([]mailaddr.Address, n)
	for i := range out {
		out[i] = mailaddr.Address{LocalPart: fmt.Sprintf("u%d", r.IntN(1_000_000)), Domain: "example.net"}
	}
	return out
}

// TestOutsidersHoldNobody: whatever notifications a stranger writes, an account
// that did nothing odd is neither held nor warned of, and what names no message
// of it is not counted.
func TestOutsidersHoldNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 7))
		a := &acts{}
		w := watcher(t, &memory{}, a, nil)
		var ids []string
		var all []mailaddr.Address
		for i := range 40 { // below what is free, and public
			s := mail("alice@example.org")
			s.RcptTo, s.MessageID = rcpts(r, 1), fmt.Sprintf("<%d@example.org>", i)
			ids, all = append(ids, s.MessageID), append(all, s.RcptTo...)
			w.do(t, event{sent: s})
		}
		for range 5000 {
			b := &Bounced{At: time.Now(), MessageID: ids[r.IntN(len(ids))], RcptTo: all, QueueID: "4XyZ1b2c3d"}
			if r.IntN(3) == 0 {
				b.MessageID = "<other@example.org>"
			}
			w.do(t, event{bounced: b})
		}
		if len(a.cases) > 0 {
			t.Errorf("%s: %v", a.worst(), a.cases[0].Verdict.Evidence())
		}
		if c := w.accounts["alice@example.org"].window.sum(time.Now()); c.Outside != 40 || c.Refused != 0 {
			t.Errorf("counted %+v, want each message once", c)
		}
	})
}

// TestOutsidePoints: what outsiders say gives three points at most, whatever the
// rest is.
func TestOutsidePoints(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 8))
	p := Policy{Warn: 5, Hold: minHold, Free: 50, Settled: true}
	for range 20_000 {
		var c, usual Counts
		for _, f := range c.fields() {
			*f = uint32(math.Exp(r.Float64() * 8))
		}
		c.Outside = 0
		quiet := decide(p, usual, c)
		c.Outside = r.Uint32()
		if v := decide(p, usual, c); v.Points > quiet.Points+outsideCap {
			t.Fatalf("%+v: %v points, %v without outsiders", c, v.Points, quiet.Points)
		}
	}
}

// TestOneFamilyDoesNotHold: each family of signals alone is a warning.
func TestOneFamilyDoesNotHold(t *testing.T) {
	for name, c := range map[string]Counts{
		"volume":  {Messages: 1e6, Recipients: 1e6, Distinct: 4096},
		"sender":  {Messages: 1000, Mismatched: 1000, NullSenders: 1000},
		"place":   {Messages: 20, Recipients: 20, Networks: 256, Countries: 60, Hasty: 20},
		"content": {Messages: 1000, Recipients: 40, Marked: 1000},
		"refused": {Refused: 1e6, Outside: 1e6},
	} {
		cfg := Default()
		v := Decide(Policy{Warn: cfg.Warn, Hold: cfg.Hold, Free: 50, Settled: true}, Habit{}, c, time.Unix(1e9, 0))
		if v.Action != Warn && !(name == "sender" && v.Action == Nothing) {
			t.Errorf("%s: %s with %v points: %q", name, v.Action, v.Points, v.Evidence())
		}
	}
}

func TestNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watcher(t, &memory{}, &acts{}, nil)
		s := mail("alice@example.org", "a@example.net", "b@example.net")
		s.MessageID, s.QueueID = "<1@x>", "4XyZ1b2c3d"
		s.RcptTo = append(s.RcptTo, addr("d@example.net"), addr("e@example.net"))
		w.do(t, event{sent: s})
		stolen := mail("mallory@example.org", "c@example.net") // the same Message-ID
		stolen.MessageID = "<1@x>"
		w.do(t, event{sent: stolen})
		for range 2 {
			w.do(t, event{bounced: &Bounced{At: time.Now(), Local: true, MessageID: "<1@x>", QueueID: "4XyZ1b2c3d", RcptTo: []mailaddr.Address{addr("A@example.net"), addr("c@example.net")}}})
			w.do(t, event{bounced: &Bounced{At: time.Now(), Local: true, QueueID: "4XyZ1b2c3d", RcptTo: []mailaddr.Address{addr("b@example.net")}}})
		}
		for _, id := range []string{"", "9F3179CC2D2"} { // a program of this host
			w.do(t, event{bounced: &Bounced{At: time.Now(), Local: true, MessageID: "<1@x>", QueueID: id, RcptTo: []mailaddr.Address{addr("d@example.net")}}})
			w.do(t, event{bounced: &Bounced{At: time.Now(), Local: true, MessageID: "<1@x>", QueueID: id, RcptTo: []mailaddr.Address{addr("e@example.net")}}})
		}
		if c := w.accounts["alice@example.org"].window.sum(time.Now()); c.Refused != 2 || c.Outside != 1 {
			t.Errorf("alice: %+v, want two refused and one from elsewhere", c)
		}
		if c := w.accounts["mallory@example.org"].window.sum(time.Now()); c.Refused != 0 {
			t.Errorf("mallory: %+v", c)
		}
	})
}

// TestHabitCounts: an hour counts when it is a day old, for 30 days.
func TestHabitCounts(t *testing.T) {
	var h Habit
	at := time.Unix(1_800_000_000, 0)
	h.see(&Counts{Recipients: 700}, at)
	for after, want := range map[time.Duration]uint32{0: 0, 23 * time.Hour: 0, 24 * time.Hour: 700, 29 * 24 * time.Hour: 700, 31 * 24 * time.Hour: 0} {
		if c := h.Usual(at.Add(after)); c.Recipients != want {
			t.Errorf("Usual after %v = %d, want %d", after, c.Recipients, want)
		}
	}
	for i := range 2 * maxHours {
		h.see(&Counts{Recipients: 1}, at.Add(time.Duration(i)*time.Hour))
	}
	if len(h.Hours) > maxHours+1 {
		t.Errorf("%d hours are kept", len(h.Hours))
	}
	h = Habit{}
	h.see(&Counts{Recipients: 700}, at)
	h.accept(at)
	h.disown(at)
	if c := h.Usual(at); c.Recipients != 700 {
		t.Errorf("what was accepted counts %d", c.Recipients)
	}
}

func TestNewNetwork(t *testing.T) {
	var h Habit
	at := time.Unix(1_800_000_000, 0)
	day := 24 * time.Hour
	for _, c := range []struct {
		id    uint64
		after time.Duration
		want  bool
	}{{1, 0, false}, {1, day, false}, {2, 2 * day, true}, {2, 2 * day, false}, {2, 20 * day, false}, {1, 40 * day, true}, {3, 100 * day, false}} {
		if got := h.visit(c.id, at.Add(c.after)); got != c.want {
			t.Errorf("visit(%d, %v) = %v", c.id, c.after, got)
		}
	}
	for i := range uint64(200) {
		h.visit(i, at)
	}
	if len(h.Nets) != maxNets {
		t.Errorf("%d networks are kept", len(h.Nets))
	}
}

// TestForgive: a release is not followed by a hold at once, and a habit that was
// called right holds.
func TestForgive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &acts{}
		w := watcher(t, &memory{}, a, nil)
		burst := func() Action {
			a.cases = nil
			r := rand.New(rand.NewPCG(1, 1))
			for i := range 60 {
				s := mail("alice@example.org")
				s.RcptTo, s.Marked = rcpts(r, 20), i%4 == 0
				w.do(t, event{sent: s})
			}
			return a.worst()
		}
		if got := burst(); got != Hold {
			t.Fatalf("%s", got)
		}
		for _, legitimate := range []bool{false, true} {
			if err := w.Forgive(t.Context(), addr("Alice@example.org"), legitimate); err != nil {
				t.Fatal(err)
			}
			w.do(t, event{sent: mail("alice@example.org", "a@example.net")})
			want := Hold
			if legitimate {
				want = Nothing
			}
			if got := burst(); got != want {
				t.Errorf("legitimate %v: %s, %v", legitimate, got, a.cases)
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

// TestRestart: habits survive, and the watcher says since when it runs.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a := &memory{}, &acts{}
		w := watcher(t, m, a, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		w.Sent(*mail("alice@example.org", "a@example.net", "b@example.net"))
		w.Sent(*mail("no address", "a@example.net"))
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		began := w.sources.Since
		time.Sleep(48 * time.Hour)
		again := watcher(t, m, a, nil)
		r, err := again.Report(t.Context(), addr("alice@example.org"))
		if err != nil || r.Since.Unix() != began.Unix() || r.Hours != 1 || r.Signals[0].Usual != 2 {
			t.Errorf("%+v, %v", r, err)
		}
		if s := again.Stats(); s.Accounts != 1 {
			t.Errorf("%+v", s)
		}
		for _, s := range r.Signals {
			if s.Name == SignalHasty && (s.Watched || s.Text != "not watched") {
				t.Errorf("%+v", s)
			}
		}
		if len(r.Unwatched) == 0 || !strings.Contains(strings.Join(r.Unwatched, "\n"), "internal_mail_filter_classes") {
			t.Errorf("%q", r.Unwatched)
		}
	})
}

// TestObserve and the others: what is not enforced is marked so, what is off
// is not looked at, a failed action is tried again, nobody is watched who is
// ignored.
func TestModes(t *testing.T) {
	burst := func(t *testing.T, w *Watcher) {
		r := rand.New(rand.NewPCG(1, 1))
		for range 60 {
			s := mail("alice@example.org")
			s.RcptTo, s.Marked = rcpts(r, 20), true
			w.do(t, event{sent: s})
		}
	}
	for name, c := range map[string]struct {
		change func(*Config)
		err    error
		want   Action
		cases  func(n int) bool
	}{
		"observe":   {func(c *Config) { c.Mode = unit.Observe }, nil, Hold, func(n int) bool { return n == 2 }},
		"unsettled": {func(c *Config) { c.Settle = unit.Duration(time.Hour) }, nil, Warn, func(n int) bool { return n == 1 }},
		"ignored":   {func(c *Config) { c.Ignore = []string{"@example.org"} }, nil, Nothing, func(n int) bool { return n == 0 }},
		"failing":   {nil, errors.New("the store is away"), Hold, func(n int) bool { return n > 10 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &acts{err: c.err}
				w := watcher(t, &memory{}, a, c.change)
				burst(t, w)
				if a.worst() != c.want || !c.cases(len(a.cases)) {
					t.Errorf("%s, %d cases", a.worst(), len(a.cases))
				}
				for _, x := range a.cases {
					if x.Observed != (name == "observe") {
						t.Errorf("observed %v", x.Observed)
					}
				}
			})
		})
	}
	off := watcher(t, &memory{}, &acts{}, func(c *Config) { c.Mode = unit.Off })
	off.Sent(*mail("alice@example.org", "a@example.net"))
	var none *Watcher
	none.Sent(Sent{})
	if len(off.queue) != 0 {
		t.Error("off: an event was queued")
	}
}

// TestBounds: neither the queue nor memory grows beyond what is set, and a
// state that is away costs events only.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		w := watcher(t, m, &acts{}, func(c *Config) { c.MaxAccounts = 10 })
		for i := range 2 * queueLen {
			w.Sent(*mail(fmt.Sprintf("u%d@example.org", i), "a@example.net"))
		}
		if s := w.Stats(); s.Missed != queueLen {
			t.Errorf("%+v", s)
		}
		for len(w.queue) > 0 {
			w.one(t.Context(), <-w.queue)
		}
		if s := w.Stats(); s.Accounts != 10 || s.Evicted != queueLen-10 {
			t.Errorf("%+v", s)
		}
		m.away = errors.New("away")
		w.do(t, event{sent: mail("new@example.org", "a@example.net")})
		w.tidy(t.Context())
		m.away = nil
		time.Sleep(3 * time.Hour)
		w.tidy(t.Context())
		if s := w.Stats(); s.Accounts != 0 {
			t.Errorf("quiet accounts stay: %+v", s)
		}
	})
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	c := Config{Mode: "yes", Warn: 20, Hold: 9, Settle: -1, FreeRecipients: 1, NewLogin: -1, MaxAccounts: 1, Ignore: []string{"alice", "@"}}
	err := c.Validate()
	for _, key := range []string{"mode", "warn", "hold", "settle", "free_recipients", "new_login", "max_accounts", "ignore"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("no fault for %s in %v", key, err)
		}
	}
}

func FuzzHabit(f *testing.F) {
	var h Habit
	h.see(&Counts{Recipients: 7, Networks: 2}, time.Unix(1_800_000_000, 0))
	h.see(&Counts{Recipients: 1 << 31}, time.Unix(1_800_090_000, 0))
	h.visit(42, time.Unix(1_800_000_000, 0))
	b, err := h.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Habit
		if h.UnmarshalBinary(b) != nil {
			return
		}
		wire, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatalf("AppendBinary(%+v): %v", h, err)
		}
		var again Habit
		if err := again.UnmarshalBinary(wire); err != nil || !reflect.DeepEqual(h, again) {
			t.Errorf("%+v comes back as %+v, %v", h, again, err)
		}
		h.Usual(time.Unix(1_800_100_000, 0))
	})
}

func FuzzMessage(f *testing.F) {
	f.Add(message{account: "a@b", rcpts: []uint32{1, 2}, outside: true}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := decodeMessage(b); ok && !bytes.Equal(m.encode(), b) {
			t.Errorf("%+v comes back otherwise", m)
		}
	})
}

func BenchmarkSent(b *testing.B) {
	w, err := New(b.Context(), Default(), Deps{State: &memory{}, Act: &acts{}}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	s := mail("alice@example.org", "a@example.net")
	s.MessageID, s.QueueID = "<1@x>", "4XyZ"
	b.ReportAllocs()
	for b.Loop() {
		w.one(b.Context(), event{sent: s})
	}
}
