package stated

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/statetest"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// shortDir returns a directory whose path is short enough for a socket.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "gps")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// started is a Server that runs.
type started struct {
	path string
	stop func()
}

// serve serves p at a path until stop.
func serve(t testing.TB, path string, p Parts, grant Grant) *started {
	t.Helper()
	ln, err := listen.Unix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := New(p, func(int) Grant { return grant }, quiet())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	var once sync.Once
	stop := func() { once.Do(func() { cancel(); wg.Wait() }) }
	t.Cleanup(stop)
	return &started{path, stop}
}

// dial returns a client that ends with the test.
func dial(t testing.TB, path string) *Client {
	t.Helper()
	c := Dial(path, "1", quiet())
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// openState opens the store of a test and serves it.
func openState(t *testing.T, dir string) (*state.SQLite, *started) {
	t.Helper()
	s, err := state.OpenSQLite(t.Context(), filepath.Join(dir, "state.db"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, serve(t, filepath.Join(dir, "s"), Parts{State: NewHub(s)}, All())
}

// keepers are the state processes of the cases, by name.
type keepers struct {
	mu   sync.Mutex // guards the fields below
	runs map[string]*keeper
	last *keeper
}

// keeper is one, which may start anew with what it has on disk.
type keeper struct {
	dir   string
	store *state.SQLite
	srv   *started
}

func (k *keeper) start(t *testing.T) {
	t.Helper()
	if k.srv != nil {
		k.srv.stop()
		if err := k.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	k.store, k.srv = openState(t, k.dir)
}

// of returns the one of a name, and whether it is new.
func (k *keepers) of(t *testing.T, name string) (r *keeper, anew bool) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	r = k.runs[name]
	if anew = r == nil; anew {
		r = &keeper{dir: shortDir(t)}
		k.runs[name] = r
		r.start(t)
	}
	k.last = r
	return r, anew
}

// restart has the last one start anew while its clients go on.
func (k *keepers) restart(t *testing.T) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last.start(t)
}

func TestStateContract(t *testing.T) {
	all := &keepers{runs: map[string]*keeper{}}
	statetest.Run(t, func(t *testing.T, name string) state.Store {
		r, anew := all.of(t, name)
		if !anew {
			r.start(t)
		}
		return dial(t, r.srv.path).State()
	}, statetest.Restarts(all.restart, false))
}

func TestWatcherContract(t *testing.T) {
	all := &keepers{runs: map[string]*keeper{}}
	statetest.RunWatcher(t, func(t *testing.T, name string) state.Store {
		r, _ := all.of(t, name)
		return dial(t, r.srv.path).State()
	}, all.restart)
}

func TestAccountContract(t *testing.T) {
	for _, kept := range []bool{false, true} {
		t.Run(map[bool]string{false: "asked each time", true: "from memory"}[kept], func(t *testing.T) {
			accounttest.Run(t, func(t *testing.T) account.Store {
				dir := shortDir(t)
				s, err := account.OpenSQLite(t.Context(), filepath.Join(dir, "accounts.db"), quiet())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				srv := serve(t, filepath.Join(dir, "s"), Parts{State: NewHub(nil), Accounts: s}, All())
				a := dial(t, srv.path).Accounts()
				if kept {
					follow(t, a)
				}
				return a
			})
		})
	}
}

// follow has a hear of changes, and returns when it does.
func follow(t *testing.T, a *Accounts) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Follow(ctx); err != nil {
			t.Errorf("Follow() = %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "the stream is there", a.live.Load)
}

// eventually waits until ok, on the real clock: two processes are involved.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		tick()
	}
	t.Fatalf("in vain: %s", what)
}
