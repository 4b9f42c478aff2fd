package password

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

func TestNeedsRehash(t *testing.T) {
	p := NewPool(DefaultMemory)
	// long is what bcrypt reads no end of, wide what SCRAM's clients write otherwise.
	long, wide := strings.Repeat("x", bcryptBytes+1), "wonder\u00a0land"
	scram := string(mustHash(t, SCRAMSHA256, wide).Reveal())
	for _, tc := range []struct {
		hash string
		want Scheme
		pw   string
		need bool
	}{
		{fromDovecot[0], Argon2id, "wonderland", true},
		{fromDovecot[0], BLFCrypt, "wonderland", true}, // cost 5
		{fromDovecot[3], Argon2id, "wonderland", false},
		{"$argon2id$v=19$m=4096,t=9,p=1$IYdEPTteJbgbbhEqru7ONw$/SkIJLfkEXW7LUCkjYehH6c6q3ZxmBuntLLoFcg7Ylk", Argon2id, "wonderland", true},
		{fromDovecot[1], SHA512Crypt, "wonderland", true},
		{fromDovecot[8], SCRAMSHA256, "wonderland", true},
		{fromDovecot[4], Plain, "wonderland", false},
		{"rubbish", Argon2id, "wonderland", false},
		{fromDovecot[0], Argon2id, long[1:], true},
		{fromDovecot[0], Argon2id, long, false},
		{fromDovecot[1], BLFCrypt, long, false},
		{fromDovecot[1], Argon2id, long, true},
		{scram, Argon2id, wide, false},
		{scram, Argon2id, "wonderland", true},
	} {
		if got := p.NeedsRehash(secret.String(tc.hash), tc.want, []byte(tc.pw)); got != tc.need {
			t.Errorf("NeedsRehash(%q, %s, %q) = %v, want %v", tc.hash, tc.want, tc.pw, got, tc.need)
		}
	}
	for _, s := range schemes {
		h, err := p.Hash(t.Context(), s, []byte("wonderland"))
		if err != nil || p.NeedsRehash(h, s, []byte("wonderland")) {
			t.Errorf("NeedsRehash(Hash(%s)) = true, %v", s, err)
		}
	}
}

// TestDummyIsUsualWork: the work for an unknown user is that of the class that
// is seen most.
func TestDummyIsUsualWork(t *testing.T) {
	p := NewPool(DefaultMemory)
	if got, want := p.usual(), (class{Argon2id, newArgonPasses, newArgonMemory, 1}); got != want {
		t.Errorf("usual() of a new pool = %+v, want %+v", got, want)
	}
	if got := NewPool(1 << 20).usual().scheme; got != BLFCrypt {
		t.Errorf("usual() with a budget of 1 MiB = %v, want %v", got, BLFCrypt)
	}
	for range 3 {
		p.Saw(secret.String(fromDovecot[0]))
	}
	p.Saw(secret.String(fromDovecot[1]))
	p.Saw(secret.String("rubbish"))
	if got, want := p.usual(), (class{scheme: BLFCrypt, cost: 5}); got != want {
		t.Errorf("usual() = %+v, want %+v", got, want)
	}
	for range 5000 {
		p.Saw(secret.String(fromDovecot[1]))
	}
	if got := p.usual().scheme; got != SHA512Crypt {
		t.Errorf("usual() after a change of scheme = %v, want %v", got, SHA512Crypt)
	}
	for _, h := range fromDovecot {
		s, err := parse(secret.String(h), "")
		if err != nil {
			t.Fatal(err)
		}
		n := nobody(s.class)
		if n.encoded != nil {
			again, err := parse(secret.New(n.encoded), "")
			if err != nil || again.class != s.class {
				t.Errorf("nobody(%+v) is of the class %+v, %v", s.class, again.class, err)
			}
		}
		if n.matches([]byte("wonderland")) {
			t.Errorf("nobody(%+v) matches", s.class)
		}
	}
	before := p.Done()
	if err := p.Dummy(t.Context(), []byte("x")); err != nil || p.Done() != before+1 {
		t.Errorf("Dummy() = %v and %d hashes, want 1", err, p.Done()-before)
	}
}

// TestDummyOfSCRAM: a password that has two forms takes two hashes for somebody,
// and so for nobody.
func TestDummyOfSCRAM(t *testing.T) {
	p := NewPool(DefaultMemory)
	h := mustHash(t, SCRAMSHA1, "wonderland")
	for _, pw := range []string{"wonder\u00a0land", "other"} {
		start := p.Done()
		if ok, err := p.Verify(t.Context(), h, []byte(pw)); ok || err != nil {
			t.Errorf("Verify(%q) = %v, %v", pw, ok, err)
		}
		somebody := p.Done() - start
		if err := p.Dummy(t.Context(), []byte(pw)); err != nil || p.Done()-start != 2*somebody {
			t.Errorf("Dummy(%q) = %v; %d hashes for somebody, %d for nobody", pw, err, somebody, p.Done()-start-somebody)
		}
	}
}

func mustHash(t *testing.T, s Scheme, pw string) secret.Value {
	t.Helper()
	h, err := Hash(s, []byte(pw))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestBusyIsKnownBeforehand(t *testing.T) {
	p := NewPool(DefaultMemory)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	p.pending = time.Duration(p.n) * 2 * time.Hour
	if _, err := p.Verify(ctx, secret.String(fromDovecot[0]), []byte("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("Verify with a full queue = %v, want %v", err, ErrBusy)
	}
	if _, err := p.Hash(ctx, Argon2id, []byte("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("Hash with a full queue = %v, want %v", err, ErrBusy)
	}
	if _, real, err := p.SCRAM(ctx, SCRAMSHA256, "alice", secret.String("{PLAIN}x")); real || !errors.Is(err, ErrBusy) {
		t.Errorf("SCRAM with a full queue = %v, want %v", err, ErrBusy)
	}
	p.pending = 0
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := p.Verify(gone, secret.String(fromDovecot[0]), []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify with a cancelled context = %v", err)
	}
	if p.pending != 0 || p.Done() != 0 {
		t.Errorf("pending = %v, done = %d, want 0, 0", p.pending, p.Done())
	}
}

// TestStillIsAskedLast: when the turn to hash has come, and what it says ends it
// without a hash.
func TestStillIsAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(DefaultMemory)
		if err := p.slots.Acquire(t.Context(), p.n); err != nil {
			t.Fatal(err)
		}
		asked, no := 0, errors.New("no")
		still := func() error {
			asked++
			return no
		}
		go func() {
			if ok, err := p.VerifyIf(t.Context(), secret.String(fromDovecot[3]), []byte("wonderland"), still); ok || !errors.Is(err, no) {
				t.Errorf("VerifyIf() = %v, %v, want %v", ok, err, no)
			}
			if err := p.DummyIf(t.Context(), []byte("wonderland"), still); !errors.Is(err, no) {
				t.Errorf("DummyIf() = %v, want %v", err, no)
			}
		}()
		synctest.Wait()
		if asked != 0 {
			t.Error("it was asked while it waited")
		}
		p.slots.Release(p.n)
		synctest.Wait()
		if asked != 2 || p.Done() != 0 || p.Pending() != 0 {
			t.Errorf("asked %d times, %d hashes, %v pending, want 2, 0, 0", asked, p.Done(), p.Pending())
		}
		if !p.slots.TryAcquire(p.n) || !p.memory.TryAcquire(p.budget) {
			t.Error("places or memory were not given back")
		}
	})
}

// TestMemoryIsBounded: four logins at once with a budget for one of them.
func TestMemoryIsBounded(t *testing.T) {
	p := NewPool(64 << 20)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if ok, err := p.Verify(t.Context(), secret.String(fromDovecot[3]), []byte("wonderland")); !ok || err != nil {
				t.Errorf("Verify() = %v, %v", ok, err)
			}
		})
	}
	wg.Wait()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.Sys > 400<<20 {
		t.Errorf("the process took %d MiB from the system", m.Sys>>20)
	}
}
