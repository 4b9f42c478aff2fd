package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// TestRoundTrip: all that is kept comes back in an empty place, and nothing else.
func TestRoundTrip(t *testing.T) {
	w := newWorld(t)
	if err := os.Symlink("/etc/passwd", filepath.Join(w.data, "link")); err != nil {
		t.Fatal(err)
	}
	set, m := w.backup(t)
	if len(m.LeftOut) != 1 || m.LeftOut[0] != "link: no regular file" {
		t.Errorf("left out %q", m.LeftOut)
	}
	if !isSet(filepath.Base(set)) || m.Host != "mx.example.org" || m.Time.IsZero() {
		t.Errorf("the set is %s of %+v", set, m)
	}
	for _, d := range []string{w.to, set} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, %v", d, info.Mode(), err)
		}
	}
	tree(t, set) // all of it is for its owner only
	to := t.TempDir()
	place := Place{DataDirectory: filepath.Join(to, "data"), UID: -1, Config: filepath.Join(to, "etc/gatepost.yaml")}
	if err := os.Mkdir(place.DataDirectory, 0o700); err != nil {
		t.Fatal(err)
	}
	steps, err := restore(t.Context(), w.to, place, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(rest)
	for i, name := range order {
		want[name] = fmt.Sprint(100 * (i + 1))
	}
	if got := tree(t, place.DataDirectory); !maps.Equal(got, want) {
		t.Errorf("restored %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for p, text := range map[string]string{"etc/gatepost.yaml": "hostname: x\n", "etc/secrets/key": "s3cret"} {
		if b, err := os.ReadFile(filepath.Join(to, p)); err != nil || string(b) != text {
			t.Errorf("%s is %q, %v", p, b, err)
		}
	}
	if len(steps) == 0 || slices.ContainsFunc(steps, func(s Step) bool { return s.Do != Put }) {
		t.Errorf("steps %+v", steps)
	}
}

// TestRestoreOverSomething: without Force nothing is touched; with it what is
// there moves aside and comes back by hand.
func TestRestoreOverSomething(t *testing.T) {
	w := newWorld(t)
	set, _ := w.backup(t)
	if err := errors.Join(put(w.data, "new.file", "new"), os.WriteFile(w.config, []byte("hostname: y\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	before := tree(t, w.dir)
	place := Place{DataDirectory: w.data, UID: -1, Config: w.config}
	if _, err := restore(t.Context(), set, place, now, nil); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), w.config) {
		t.Errorf("Restore() = %v", err)
	}
	if !maps.Equal(before, tree(t, w.dir)) {
		t.Error("a restore that was refused has changed something")
	}
	place.Force = true
	s, err := Open(set)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	plan, err := s.Plan(t.Context(), place, now)
	if err != nil || !maps.Equal(before, tree(t, w.dir)) {
		t.Errorf("Plan() = %v, or it has changed something", err)
	}
	steps, err := s.Restore(t.Context(), place, now, nil)
	if err != nil || !slices.Equal(steps, plan) {
		t.Fatalf("Restore() = %+v, %v, planned %+v", steps, err, plan)
	}
	const aside = "before-restore-20261120T230000.000Z"
	for p, want := range map[string]string{"data/" + aside + "/new.file": "new", "etc/gatepost.yaml": "hostname: x\n", "etc/gatepost.yaml." + aside: "hostname: y\n"} {
		if b, err := os.ReadFile(filepath.Join(w.dir, p)); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v", p, b, err)
		}
	}
	if _, err := os.Stat(filepath.Join(w.data, "new.file")); err == nil {
		t.Error("a file of before is still in its place")
	}
	if i := slices.IndexFunc(steps, func(s Step) bool { return s.To == w.secret }); i < 0 || steps[i].Do != Same {
		t.Errorf("the secret, which is the same, is in %+v", steps)
	}
	if err := Unfinished(w.data); err != nil {
		t.Error(err)
	}
}

// TestCheckRefuses: when the stores do not open, nothing has changed.
func TestCheckRefuses(t *testing.T) {
	w := newWorld(t)
	set, _ := w.backup(t)
	before := tree(t, w.dir)
	place := Place{DataDirectory: w.data, UID: -1, Config: w.config, Force: true, Check: func(_ context.Context, dir string) error {
		if got := tree(t, dir)["accounts.db"]; got != "300" {
			t.Errorf("Check sees %s rows", got)
		}
		return errors.New("no")
	}}
	if _, err := restore(t.Context(), set, place, now, nil); err == nil || !strings.HasSuffix(err.Error(), "can not be used by this gatepost: no") {
		t.Errorf("Restore() = %v", err)
	}
	if !maps.Equal(before, tree(t, w.dir)) {
		t.Error("a restore that was refused has changed something")
	}
}

// TestWhileWritten: what was acknowledged before the backup began is in it, and
// the database is whole, while all are written to.
func TestWhileWritten(t *testing.T) {
	w := newWorld(t)
	var writers sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex // guards acked
	acked := map[string]int{}
	begun := make(chan struct{}, 100)
	for i, name := range order {
		db, err := openDB(t.Context(), filepath.Join(w.data, name))
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		acked[name] = 100 * (i + 1)
		mu.Unlock()
		writers.Go(func() {
			defer db.Close()
			for ctx.Err() == nil {
				if _, err := db.Writer.Exec("INSERT INTO t (x) VALUES (randomblob(2000))"); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				mu.Lock()
				acked[name]++
				mu.Unlock()
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 3 {
		for range 50 {
			<-begun
		}
		mu.Lock()
		want := maps.Clone(acked)
		mu.Unlock()
		_, m := w.backup(t)
		for _, f := range m.Files {
			name := strings.TrimPrefix(f.Path, "data/")
			if n, ok := want[name]; ok && f.Rows["t"] < int64(n) {
				t.Errorf("%s has %d rows, %d were acknowledged before", name, f.Rows["t"], n)
			}
		}
	}
	stop()
	writers.Wait()
}

// TestDamagedStore: one that can begin anew is left out, another one fails the
// backup, and nothing stays.
func TestDamagedStore(t *testing.T) {
	for name, ok := range map[string]bool{"journal.db": true, "features.db": true, "accounts.db": false, "state.db": false} {
		for _, at := range []int64{0, 3 * 4096} {
			w := newWorld(t)
			f, err := os.OpenFile(filepath.Join(w.data, name), os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, 8192), at)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			set, m, err := makeSet(t.Context(), w)
			if ok {
				if err != nil || len(m.LeftOut) != 1 || !strings.HasPrefix(m.LeftOut[0], name+": it is damaged") {
					t.Errorf("%s damaged at %d: %v, left out %q", name, at, err, m.LeftOut)
					continue
				}
				if _, err := restore(t.Context(), set, Place{DataDirectory: t.TempDir(), UID: -1}, now, nil); err != nil {
					t.Error(err)
				}
				continue
			}
			if !sqlite.IsCorrupt(err) && (err == nil || !strings.Contains(err.Error(), "damaged")) {
				t.Errorf("%s damaged at %d: %v", name, at, err)
			}
			if left, err := os.ReadDir(w.to); err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		}
	}
}

// TestCutStream: a stream that ends too early, anywhere, makes no set.
func TestCutStream(t *testing.T) {
	w := newWorld(t)
	var whole bytes.Buffer
	if err := (&Source{Dir: w.data}).Stream(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 100, 512, 1000, 1536, 10_000, whole.Len() / 2, whole.Len() - 2048} {
		b, err := Create(w.to, Manifest{})
		if err != nil {
			t.Fatal(err)
		}
		err = b.Receive(t.Context(), bytes.NewReader(whole.Bytes()[:n]), nil)
		if !errors.Is(err, ErrCut) {
			t.Errorf("Receive() of %d bytes of %d = %v", n, whole.Len(), err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(w.to); !errors.Is(err, ErrNoSet) {
		t.Errorf("Open() = %v", err)
	}
}

// TestSourceTellsWhy: what fails in the middle is in the stream.
func TestSourceTellsWhy(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	err := (&Source{Dir: w.data}).Stream(ctx, writerFunc(func(p []byte) (int, error) {
		if out.Len() > 10_000 {
			cancel()
		}
		return out.Write(p)
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Stream() = %v", err)
	}
	b, err := Create(w.to, Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Receive(t.Context(), &out, nil); err == nil || !strings.HasSuffix(err.Error(), "context canceled") {
		t.Errorf("Receive() = %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestBusy(t *testing.T) {
	w := newWorld(t)
	src := &Source{Dir: w.data}
	var second error
	err := src.Stream(t.Context(), writerFunc(func(p []byte) (int, error) {
		if second == nil {
			second = src.Stream(t.Context(), io.Discard)
		}
		return len(p), nil
	}))
	if err != nil || !errors.Is(second, ErrBusy) {
		t.Errorf("Stream() = %v, and at the same time %v", err, second)
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t)
	var all []string
	for range 4 { // all within the same second, mostly
		set, _ := w.backup(t)
		all = append(all, set)
	}
	if err := errors.Join(put(w.to, "gatepost-notes/x", "mine"), put(w.to, "gatepost-20200101T000000Z/x", "not whole")); err != nil {
		t.Fatal(err)
	}
	s, err := Open(w.to)
	if err != nil || s.Dir != all[3] || s.Older != 3 {
		t.Fatalf("Open() = %+v, %v, want %s", s, err, all[3])
	}
	defer s.Close()
	removed, err := Prune(w.to, 2)
	if err != nil || !slices.Equal(removed, all[:2]) {
		t.Errorf("Prune() = %q, %v, want %q", removed, err, all[:2])
	}
	left, err := os.ReadDir(w.to)
	if err != nil || len(left) != 4 {
		t.Errorf("%d entries are left, %v: %v", len(left), err, left)
	}
}

// TestKilledBackup: a kill in the middle leaves nothing that restore would take,
// and the next backup cleans up.
func TestKilledBackup(t *testing.T) {
	w := newWorld(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killBackup+"="+w.dir)
	out, err := cmd.CombinedOutput()
	if !killed(cmd.ProcessState) {
		t.Fatalf("the child was not killed: %v %s", err, out)
	}
	left, err := os.ReadDir(w.to)
	if err != nil || len(left) != 1 || !strings.HasPrefix(left[0].Name(), partPrefix) {
		t.Fatalf("left %v, %v", left, err)
	}
	if _, err := Open(w.to); !errors.Is(err, ErrNoSet) {
		t.Errorf("Open() = %v", err)
	}
	set, _ := w.backup(t)
	if left, err := os.ReadDir(w.to); err != nil || len(left) != 1 || left[0].Name() != filepath.Base(set) {
		t.Errorf("left %v, %v", left, err)
	}
}

func beKilledInBackup(dir string) {
	b, err := Create(filepath.Join(dir, "backups"), Manifest{})
	if err == nil {
		r, w := io.Pipe()
		go func() { w.CloseWithError((&Source{Dir: filepath.Join(dir, "data")}).Stream(context.Background(), w)) }()
		err = b.Receive(context.Background(), r, func(done, all int64) {
			if done > all/2 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		})
	}
	fmt.Println("not killed:", err)
	os.Exit(1)
}

// TestKilledRestore: a kill before the moves leaves what was there; one between
// them is known afterwards, and the next restore ends it.
func TestKilledRestore(t *testing.T) {
	for point, half := range map[string]bool{"filled": false, "staged": false, "move accounts.db": true, "moved": true} {
		w := newWorld(t)
		set, _ := w.backup(t)
		if err := put(w.data, "new.file", "new"); err != nil {
			t.Fatal(err)
		}
		before := tree(t, w.data)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killRestore+"="+w.data+"|"+set+"|"+point)
		out, err := cmd.CombinedOutput()
		if !killed(cmd.ProcessState) {
			t.Fatalf("%s: the child was not killed: %v %s", point, err, out)
		}
		if err := Unfinished(w.data); (err != nil) != half {
			t.Errorf("%s: Unfinished() = %v", point, err)
		}
		if !half {
			after := tree(t, w.data)
			maps.DeleteFunc(after, func(p, _ string) bool { return strings.HasPrefix(p, stagePrefix) })
			if !maps.Equal(before, after) {
				t.Errorf("%s: something has changed", point)
			}
		}
		if _, err := restore(t.Context(), set, Place{DataDirectory: w.data, UID: -1, Force: true}, now, nil); err != nil {
			t.Fatalf("%s: restore again: %v", point, err)
		}
		after := tree(t, w.data)
		if err := Unfinished(w.data); err != nil || after["accounts.db"] != "300" || after["new.file"] != "" {
			t.Errorf("%s: after the second restore: %v, %s rows", point, err, after["accounts.db"])
		}
		found := 0
		for p := range after { // what was there first is still somewhere
			if strings.HasPrefix(p, asidePrefix) && strings.HasSuffix(p, "/new.file") {
				found++
			}
			if strings.HasPrefix(p, stagePrefix) {
				t.Errorf("%s: %s is left", point, p)
			}
		}
		if found != 1 {
			t.Errorf("%s: the file of before is there %d times", point, found)
		}
	}
}

func beKilledInRestore(what string) {
	part := strings.Split(what, "|")
	_, err := restore(context.Background(), part[1], Place{DataDirectory: part[0], UID: -1, Force: true}, now.Add(-time.Hour), func(at string) {
		if at == part[2] {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
	fmt.Println("not killed:", err)
	os.Exit(1)
}
