package shared

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// TestCloseWhileRedisHangs: who reads the stream of a server that hangs must not
// keep the process from ending.
func TestCloseWhileRedisHangs(t *testing.T) {
	srv := redistest.Single(t)
	h := openHost(t, filepath.Join(t.TempDir(), "state.db"), openRedis(t, "close:", srv.Addresses...))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := h.Read(ctx, "learn", "", 1, time.Minute)
		ended <- err
	}()
	blocked := func() bool {
		return srv.Nodes[0].Do("EVAL", "local i = redis.call('INFO', 'clients'); return string.match(i, 'blocked_clients:(%d+)')", 0) == "1"
	}
	for !blocked() {
	}
	srv.Stop(srv.Nodes[0])
	defer srv.Cont(srv.Nodes[0])
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Read() = %v", err)
	}
	begin := time.Now()
	if err := h.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Close() took %v", took)
	}
}

// TestRowThatCanNotBeMerged: the others do not wait for it.
func TestRowThatCanNotBeMerged(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.far.set(func(f *fake) { f.down, f.bad = true, "a" })
		l.took(t, "k")
		l.took(t, "k")
		l.took(t, "k")
		for _, key := range []string{"a", "b", "c"} {
			e := state.Entry{Key: key, Value: []byte(key), Expires: time.Now().Add(time.Hour)}
			if err := l.Put(t.Context(), state.Ban, e, false); err != nil {
				t.Fatal(err)
			}
		}
		l.far.set(func(f *fake) { f.down = false })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if rows, err := l.far.SQLite.List(t.Context(), state.Ban, ""); err != nil || len(rows) != 2 {
			t.Errorf("%d bans were merged, %v, want 2", len(rows), err)
		}
		if s := l.Stats(); s.Away || s.Trips != 1 || s.Pending != 1 {
			t.Errorf("Stats() = %+v", s)
		}
	})
}
