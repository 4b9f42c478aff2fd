package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/unit"
)

// servers is a zone with two name servers.
type servers struct {
	a, b     map[string][]string // name to records
	negative time.Duration
	ttl      time.Duration
	ill      error // of the second one
	err      error
}

func newServers() *servers {
	return &servers{a: map[string][]string{}, b: map[string][]string{}, negative: time.Hour, ttl: time.Hour}
}

func (z *servers) Authoritative(_ context.Context, name string) ([]resolver.Shown, time.Duration, error) {
	return []resolver.Shown{
		{Server: "ns1.example.org (192.0.2.1)", Records: z.a[name], TTL: z.ttl},
		{Server: "ns2.example.org (192.0.2.2)", Records: z.b[name], TTL: z.ttl, Err: z.ill},
	}, z.negative, z.err
}

// publish puts keys on the servers.
func (z *servers) publish(ks []Key, on ...map[string][]string) {
	for _, m := range on {
		for _, k := range ks {
			m[k.Name()] = []string{k.Record()}
		}
	}
}

// states tells a domain's keys and states, "r:active e:active r2:pending".
func states(s *Store, domain string) string {
	var out []string
	for _, k := range s.List() {
		if k.Domain == domain {
			name := k.Selector[len("gp202611"):]
			out = append(out, name+":"+string(k.State))
		}
	}
	return strings.Join(out, " ")
}

func want(t *testing.T, s *Store, in, signs string) {
	t.Helper()
	if got := states(s, "example.org"); got != in {
		t.Errorf("states %s, want %s", got, in)
	}
	again := open(t, s.dir)
	if got := states(again, "example.org"); got != in {
		t.Errorf("states after a restart %s, want %s", got, in)
	}
	for _, s := range []*Store{s, again} {
		var sel []string
		for _, k := range s.Active("example.org") {
			sel = append(sel, k.Selector[len("gp202611"):])
		}
		if got := strings.Join(sel, " "); got != signs {
			t.Errorf("%q sign, want %q", got, signs)
		}
	}
}

// rotating starts a domain with both keys, in November 2026.
func rotating(t *testing.T) *Store {
	t.Helper()
	time.Sleep(time.Until(time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)))
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	create(t, s, "example.org", "", RSA)
	create(t, s, "example.org", "", Ed25519)
	return s
}

// TestRotation goes through all states, with a new process after each step.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, z, ctx := rotating(t), newServers(), t.Context()
		want(t, s, "r:active e:active", "r e")
		next, err := s.Rotate("Example.org")
		if err != nil || len(next) != 2 || next[0].Algorithm != RSA || next[1].Algorithm != Ed25519 {
			t.Fatalf("Rotate = %v, %v", next, err)
		}
		const pending = "r:active r2:pending e:active e2:pending"
		want(t, s, pending, "r e")
		if again, err := s.Rotate("example.org"); err != nil || fmt.Sprint(again) != fmt.Sprint(next) {
			t.Errorf("Rotate again = %v, %v, want the same keys", again, err)
		}
		check := func(signs bool) {
			t.Helper()
			ks, err := s.Check(ctx, z, "example.org")
			if err != nil || (len(ks) > 0) != signs {
				t.Errorf("Check = %v, %v, want keys that sign: %v", ks, err, signs)
			}
		}
		check(false)
		z.publish(next, z.a)
		check(false)
		z.publish(next[:1], z.b)
		check(false)
		want(t, s, pending, "r e")
		z.publish(next, z.b)
		check(false) // caches may say no for an hour
		s = open(t, s.dir)
		time.Sleep(time.Hour - time.Second)
		check(false)
		want(t, s, pending, "r e")
		time.Sleep(time.Second)
		check(true)
		const active = "r:retiring r2:active e:retiring e2:active"
		want(t, s, active, "r2 e2")

		s = open(t, s.dir)
		time.Sleep(7*24*time.Hour - time.Second)
		s.turn(ctx, z)
		want(t, s, active, "r2 e2")
		time.Sleep(time.Second)
		s.turn(ctx, z)
		want(t, s, "r:revoked r2:active e:revoked e2:active", "r2 e2")
		if rec := s.List()[0].Record(); rec != "v=DKIM1; k=rsa; p=" {
			t.Errorf("revoked record %q", rec)
		}
		for _, sel := range []string{"gp202611r", "gp202611e"} {
			if err := s.Remove("example.org", sel); err != nil {
				t.Error(err)
			}
		}
		want(t, s, "r2:active e2:active", "r2 e2")
		if next, err = s.Rotate("example.org"); err != nil || next[0].Selector != "gp202611r3" {
			t.Errorf("Rotate = %v, %v: a name was used again", next, err)
		}
	})
}

// TestUndo takes every step back, from every state, one by one.
func TestUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, z, ctx := rotating(t), newServers(), t.Context()
		undo := func(step string) {
			t.Helper()
			s = open(t, s.dir)
			if got, err := s.Undo("example.org"); got != step || err != nil {
				t.Fatalf("Undo = %q, %v, want %q", got, err, step)
			}
		}
		next, err := s.Rotate("example.org")
		if err != nil {
			t.Fatal(err)
		}
		z.publish(next, z.a, z.b)
		if _, err := s.Activate("example.org"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * 24 * time.Hour)
		s.turn(ctx, z)
		want(t, s, "r:revoked r2:active e:revoked e2:active", "r2 e2")

		undo("revoke")
		const active = "r:retiring r2:active e:retiring e2:active"
		want(t, s, active, "r2 e2")
		s.turn(ctx, z) // its week begins anew
		want(t, s, active, "r2 e2")

		undo("activate")
		const pending = "r:active r2:pending e:active e2:pending"
		want(t, s, pending, "r e")
		time.Sleep(8 * 24 * time.Hour)
		s.turn(ctx, z) // published as they are, they wait for a person
		want(t, s, pending, "r e")
		if _, err := s.Check(ctx, z, "example.org"); !errors.Is(err, ErrNothing) {
			t.Errorf("Check of held keys = %v", err)
		}
		if again, err := s.Rotate("example.org"); err != nil || fmt.Sprint(again) != fmt.Sprint(next) {
			t.Errorf("Rotate = %v, %v, want to go on with %v", again, err, next)
		}
		undo("resume")
		undo("rotate")
		want(t, s, "r:active e:active", "r e")
		if left, _ := filepath.Glob(filepath.Join(s.dir, "*", "*2.pem")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if _, err := s.Undo("example.org"); !errors.Is(err, ErrNothing) {
			t.Errorf("Undo of nothing = %v", err)
		}
	})
}

// TestShownMustHold: the wait begins anew when a server shows something else,
// and is as long as that may be in a cache. A silent server only delays.
func TestShownMustHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, z, ctx := rotating(t), newServers(), t.Context()
		next, err := s.Rotate("example.org")
		if err != nil {
			t.Fatal(err)
		}
		active := func() bool {
			t.Helper()
			s = open(t, s.dir)
			if _, err := s.Check(ctx, z, "example.org"); err != nil && !errors.Is(err, ErrNothing) {
				t.Fatal(err)
			}
			return s.Active("example.org")[0].Selector == next[0].Selector
		}
		says := func(want string) {
			t.Helper()
			for _, st := range s.Statuses("example.org") {
				if st.Selector == next[0].Selector && st.Next != want {
					t.Errorf("Next is %q, want %q", st.Next, want)
				}
			}
		}
		says("publish its record; it signs when every server of the zone shows it")
		active()
		says("publish its record: ns1.example.org (192.0.2.1): has no record")
		z.publish(next, z.a, z.b)
		active()
		says("nothing: every server shows it, it signs from 2026-11-20 07:00 UTC")
		time.Sleep(50 * time.Minute)
		z.b[next[0].Name()], z.ttl = []string{"v=DKIM1; p=AAAA"}, 5*time.Hour
		active()
		says("publish its record: ns2.example.org (192.0.2.2): p= is the public key of another private key")
		z.publish(next, z.a, z.b)
		active()
		time.Sleep(5*time.Hour - time.Second)
		if active() {
			t.Error("active while the wrong record may be in a cache")
		}
		z.ill = errors.New("timeout")
		time.Sleep(time.Hour)
		if active() {
			t.Error("active without an answer of ns2")
		}
		says("publish its record: ns2.example.org (192.0.2.2): gives no answer: timeout")
		z.err = errors.New("no zone")
		if active() {
			t.Error("active without a zone")
		}
		z.ill, z.err = nil, nil
		if !active() {
			t.Error("a silence made the wait begin anew")
		}
	})
}

// TestRefusals: what cannot be done says why, and changes nothing.
func TestRefusals(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	if _, err := s.Rotate("example.org"); !errors.Is(err, ErrNoKey) || err.Error() != "rotate keys of example.org: no such key" {
		t.Errorf("Rotate = %v", err)
	}
	k, err := s.CreatePending("example.org", "one", Ed25519)
	if err != nil || k.State != Pending || len(s.Active("example.org")) != 0 || !s.Waiting("example.org") {
		t.Errorf("CreatePending = %v (%s), %v", k, k.State, err)
	}
	if _, err := s.Activate("example.org"); err != nil || s.Waiting("example.org") {
		t.Errorf("Activate = %v", err)
	}
	if _, err := s.Activate("example.org"); !errors.Is(err, ErrNothing) {
		t.Errorf("Activate of nothing = %v", err)
	}
	for sel, want := range map[string]error{"one": ErrInUse, "two": ErrNoKey} {
		if err := s.Remove("example.org", sel); !errors.Is(err, want) {
			t.Errorf("Remove %s = %v, want %v", sel, err, want)
		}
	}
	for i := range maxKeys {
		if _, err := s.CreatePending("example.org", fmt.Sprint("p", i), Ed25519); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Activate("example.org"); err == nil || !strings.Contains(err.Error(), "5 keys would sign, at most 4 can") {
		t.Errorf("Activate of too many = %v", err)
	}
	if got := names(open(t, s.dir).Active("example.org")); got != "one._domainkey.example.org" {
		t.Errorf("after refusals %q sign", got)
	}
	// The old key's file goes by hand: to go back would leave nobody to sign.
	if _, err := s.Undo("example.org"); err != nil {
		t.Fatal(err) // back to pending, as it was made
	}
}

// TestRotateTakesUpPendingKey: a key that waited before the rotation takes over
// like one that is made for it, and the old one retires.
func TestRotateTakesUpPendingKey(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	create(t, s, "example.org", "gp202611old", Ed25519)
	if _, err := s.CreatePending("example.org", "gp202611new", Ed25519); err != nil {
		t.Fatal(err)
	}
	next, err := s.Rotate("example.org")
	if err != nil || len(next) != 1 || next[0].Selector != "gp202611new" {
		t.Fatalf("Rotate = %v, %v", next, err)
	}
	if _, err := s.Activate("example.org"); err != nil {
		t.Fatal(err)
	}
	want(t, s, "new:active old:retiring", "new")
	for _, states := range []string{"new:pending old:active", "new:pending old:active"} {
		if _, err := s.Undo("example.org"); err != nil {
			t.Fatal(err)
		}
		want(t, s, states, "old")
	}
	if _, err := s.Undo("example.org"); !errors.Is(err, ErrNothing) {
		t.Errorf("Undo = %v", err)
	}
}

// TestUndoWithoutTheOldKey: nothing is taken back to a key that is gone.
func TestUndoWithoutTheOldKey(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	old := create(t, s, "example.org", "", Ed25519)
	if _, err := s.Rotate("example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Activate("example.org"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(old.Path), s.Reload()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Undo("example.org"); !errors.Is(err, ErrNoKey) || len(s.Active("example.org")) != 1 {
		t.Errorf("Undo = %v, %v sign", err, s.Active("example.org"))
	}
}

// TestBadStates: a file of states that cannot be trusted stops the start.
func TestBadStates(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	create(t, s, "example.org", "one", Ed25519)
	path := filepath.Join(s.dir, "example.org", statesFile)
	for text, want := range map[string]string{
		"":                                     "not a file of key states (mend it with: mv ",
		`{"keys":{"one":{"state":"x"}}}`:       "not a file of key states",
		`{"keys":{"../x":{"state":"active"}}}`: "not a file of key states",
		`{"keys":{}} {}`:                       "not a file of key states",
		`{"keys":{},"what":1}`:                 "not a file of key states",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(s.dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open with %q = %v, want %q", text, err, want)
		}
	}
	if err := errors.Join(os.WriteFile(path, []byte(`{"keys":{}}`), 0o600), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "mode 0666 lets others say which keys sign (mend it with: chmod 0600 ") {
		t.Errorf("Open = %v", err)
	}
}

// killAt is set for a copy of this test that kills itself there.
const killAt = "GATEPOST_TEST_KILL_AT"

// TestKilledBetweenSteps kills a process at each of its changes of the disk,
// and looks each time whether the keys can be used, whether the same keys sign
// as before or the new ones, and whether it can be gone on and gone back.
func TestKilledBetweenSteps(t *testing.T) {
	if at, err := strconv.Atoi(os.Getenv(killAt)); err == nil {
		rotateAll(t, os.Getenv(killAt+"_DIR"), at)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for at := 1; ; at++ {
		dir := filepath.Join(t.TempDir(), "dkim")
		create(t, open(t, dir), "example.org", "old", Ed25519)
		cmd := exec.Command(self, "-test.run=^TestKilledBetweenSteps$")
		cmd.Env = append(os.Environ(), killAt+"="+strconv.Itoa(at), killAt+"_DIR="+dir)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err == nil {
			break // it came to its end
		}
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("killed at %d: %v\n%s", at, err, out)
		}
		kills++
		afterKill(t, at, dir, bytes.TrimSpace(out))
	}
	if kills < 20 {
		t.Errorf("only %d places to be killed at", kills)
	}
}

// rotateAll goes through a whole life of keys, and is killed at its n-th change.
func rotateAll(t *testing.T, dir string, n int) {
	s := open(t, dir)
	week := Config{RetireAfter: unit.Duration(time.Nanosecond)}
	s.Reconfigure(week)
	s.crash = func(at string) {
		if n--; n == 0 {
			fmt.Println(at)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	try := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Rotate("example.org")
	try(err)
	_, err = s.Undo("example.org")
	try(err)
	next, err := s.Rotate("example.org")
	try(err)
	_, err = s.Activate("example.org")
	try(err)
	_, err = s.Undo("example.org")
	try(err)
	_, err = s.Rotate("example.org")
	try(err)
	z := newServers()
	z.publish(next, z.a, z.b)
	z.negative = 0
	_, err = s.Check(t.Context(), z, "example.org")
	try(err)
	s.turn(t.Context(), z)
	try(s.Remove("example.org", "old"))
}

func afterKill(t *testing.T, at int, dir string, place []byte) {
	t.Helper()
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("killed at %d (%s): %v", at, place, err)
	}
	if n := len(s.Active("example.org")); n != 1 {
		t.Fatalf("killed at %d (%s): %d keys sign", at, place, n)
	}
	if err := s.sweep(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", ".*")); len(left) > 0 {
		t.Errorf("killed at %d (%s): left behind %v", at, place, left)
	}
	if _, err := s.Rotate("example.org"); err != nil {
		t.Errorf("killed at %d (%s): %v", at, place, err)
	}
	if _, err := s.Activate("example.org"); err != nil {
		t.Errorf("killed at %d (%s): %v", at, place, err)
	}
	for {
		_, err := s.Undo("example.org")
		if errors.Is(err, ErrNothing) || errors.Is(err, ErrNoKey) {
			break
		}
		if err != nil {
			t.Fatalf("killed at %d (%s): %v", at, place, err)
		}
	}
	if n := len(open(t, dir).Active("example.org")); n != 1 {
		t.Errorf("killed at %d (%s), then back to the beginning: %d keys sign", at, place, n)
	}
}

func FuzzIndex(f *testing.F) {
	for _, s := range []string{
		`{"keys":{}}`,
		`{"keys":{"a":{"state":"pending","since":"2026-11-20T06:00:00Z","replaces":["b"],"wait_ns":60}},"steps":[{"step":"rotate","at":"2026-11-20T06:00:00Z","before":{"a":null}}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseIndex(b)
		if err != nil {
			return
		}
		wire, err := x.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseIndex(wire)
		if err != nil {
			t.Fatalf("%s: %v", wire, err)
		}
		if twice, _ := again.encode(); !bytes.Equal(wire, twice) {
			t.Errorf("%s\ncomes back as\n%s", wire, twice)
		}
	})
}
