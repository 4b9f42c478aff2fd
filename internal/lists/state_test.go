package lists

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// fake is a resolver with a round trip of 20 ms, in a bubble of synctest.
type fake struct {
	mu      sync.Mutex
	records map[string]string
	err     error
	asked   int
}

func (f *fake) LookupIP(ctx context.Context, _, name string) ([]netip.Addr, error) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.err != nil {
		return nil, f.err
	}
	if a, ok := f.records[name]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, nil
}

func (f *fake) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func newFake() *fake {
	return &fake{records: map[string]string{"2.0.0.127.ip.list.net": "127.0.0.2", "test.uri.list.net": "127.0.0.2"}}
}

// TestOneRound: forty questions take one round trip.
func TestOneRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		l, err := New(with(ipList(), uriList()), f, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.Test(t.Context())
		q := client("8.8.8.8")
		var urls []string
		for i := range 19 {
			urls = append(urls, fmt.Sprintf("https://www.site%d.net/", i))
		}
		q.Text = links(urls...)
		for i := range 20 {
			q.From = append(q.From, mailaddr.Address{LocalPart: "a", Domain: fmt.Sprintf("from%d.net", i)})
		}
		before, at := f.asked, time.Now()
		l.Ask(t.Context(), q)
		if n := f.asked - before; n != 40 {
			t.Errorf("%d questions, want 40", n)
		}
		if took := time.Since(at); took != 20*time.Millisecond {
			t.Errorf("took %v, want one round trip of 20ms", took)
		}
	})
}

// TestDeadline: all questions end with one deadline, and the caller's own end
// says nothing of the list.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := with(ipList())
		cfg.Timeout = unit.Duration(100 * time.Millisecond)
		l, err := New(cfg, f, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.Test(t.Context())
		for range silences + 1 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			at := time.Now()
			if got := told(l.Ask(ctx, client("8.8.8.8"))); got != `IP_UNKNOWN 0 ["1 of 1 questions got no answer"]` {
				t.Errorf("lines %s", got)
			}
			if took := time.Since(at); took != 10*time.Millisecond {
				t.Errorf("took %v, want 10ms", took)
			}
			cancel()
		}
		if st := l.Status()[0]; st.State != On {
			t.Errorf("state %s after the callers gave up", st.State)
		}
	})
}

// TestLife: a list rests after silence, comes back by itself, is tested daily
// and forgiven later and later.
func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		var log bytes.Buffer
		l, err := New(with(ipList()), f, nil, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Run(ctx) })
		state := func(want Phase) {
			t.Helper()
			time.Sleep(time.Second) // in the bubble
			if st := l.Status()[0]; st.State != want {
				t.Errorf("state %s (%s), want %s", st.State, st.Why, want)
			}
		}
		state(On)
		f.fail(errors.New("planted"))
		for range silences {
			l.Ask(ctx, client("8.8.8.8"))
		}
		state(Resting)
		asked := f.asked
		if got := told(l.Ask(ctx, client("8.8.8.8"))); got != `IP_UNKNOWN 0 ["resting: gave no answer"]` || f.asked != asked {
			t.Errorf("lines %s, %d questions", got, f.asked-asked)
		}
		l.kick <- struct{}{} // a reload looks at the times again
		time.Sleep(time.Hour)
		state(Resting)
		f.fail(nil)
		time.Sleep(lastRetry)
		state(On)
		f.mu.Lock()
		f.records["1.0.0.127.ip.list.net"] = "127.0.0.2"
		f.mu.Unlock()
		time.Sleep(daily)
		state(Off)
		time.Sleep(3 * daily)
		state(Off)
		f.mu.Lock()
		delete(f.records, "1.0.0.127.ip.list.net")
		f.mu.Unlock()
		time.Sleep(daily)
		state(On)
		if n := strings.Count(log.String(), "switched off"); n != 1 {
			t.Errorf("%d warnings for one fault:\n%s", n, &log)
		}
		cancel()
		wg.Wait()
	})
}

// TestRestWakes: what a message finds out sets the time of the next test, also
// when Run sleeps until tomorrow.
func TestRestWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		l, err := New(with(ipList()), f, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Run(ctx) })
		time.Sleep(time.Second)
		f.fail(errors.New("planted"))
		for range silences {
			l.Ask(ctx, client("8.8.8.8"))
		}
		f.fail(nil)
		time.Sleep(firstRetry + time.Second)
		if st := l.Status()[0]; st.State != On {
			t.Errorf("state %s, want on", st.State)
		}
		cancel()
		wg.Wait()
	})
}
