package password

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

var schemes = []Scheme{Argon2id, BLFCrypt, SHA512Crypt, SHA256Crypt, Plain}

// Made by doveadm pw from Dovecot 2.3.19.1, password "wonderland".
var fromDovecot = []string{
	"{BLF-CRYPT}$2y$05$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUove",
	"{SHA512-CRYPT}$6$FzMdcOZfRD9gkD8Y$XoiroT56wQ7onFTJD9VeyXmcssPb8E/M8r1Y7qUql1G26fh6DHsuWnRZ9iB.zFLVeG7hiZc2RmU0UsruY8eOv0",
	"{SHA256-CRYPT}$5$Z9TEU2l7gGNY5Gu7$JilUXPcWzUqlBm07FhLG6/0cGwSygpy1vh7BBrV8jgB",
	"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$IYdEPTteJbgbbhEqru7ONw$/SkIJLfkEXW7LUCkjYehH6c6q3ZxmBuntLLoFcg7Ylk",
	"{PLAIN}wonderland",
}

func TestVerify(t *testing.T) {
	p := NewPool(DefaultMemory)
	for _, h := range fromDovecot {
		scheme, bare, _ := strings.Cut(h, "}")
		forms := []string{h, strings.ToLower(scheme) + "}" + bare}
		if strings.HasPrefix(bare, "$") {
			forms = append(forms, bare, "{CRYPT}"+bare)
		}
		for i, form := range forms {
			pws := map[string]bool{"wonderland": true}
			if i == 0 {
				pws = map[string]bool{"wonderland": true, "Wonderland": false, "": false, "wonderland\x00": false}
			}
			for pw, want := range pws {
				got, err := p.Verify(t.Context(), secret.String(form), []byte(pw))
				if got != want || err != nil {
					t.Errorf("Verify(%q, %q) = %v, %v, want %v", form, pw, got, err, want)
				}
			}
		}
	}
}

func TestHashVerifies(t *testing.T) {
	p := NewPool(DefaultMemory)
	for _, s := range schemes {
		for _, pw := range []string{"пароль 🔑 wonderland"} {
			h, err := Hash(s, []byte(pw))
			if err != nil {
				t.Fatalf("Hash(%s): %v", s, err)
			}
			if !strings.HasPrefix(string(h.Reveal()), "{"+string(s)+"}") {
				t.Errorf("Hash(%s) has no scheme in front", s)
			}
			ok, err := p.Verify(t.Context(), h, []byte(pw))
			if !ok || err != nil {
				t.Errorf("Verify(Hash(%s, %q)) = %v, %v", s, pw, ok, err)
			}
			if ok, _ := p.Verify(t.Context(), h, []byte(pw[1:])); ok {
				t.Errorf("Verify(Hash(%s, %q)) matches another password", s, pw)
			}
			if err := Check(h, DefaultMemory); err != nil {
				t.Errorf("Check(Hash(%s)) = %v", s, err)
			}
		}
	}
}

func TestHashRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		scheme Scheme
		pw     string
	}{
		{"empty", Argon2id, ""},
		{"NUL", Argon2id, "a\x00b"},
		{"too long", Argon2id, strings.Repeat("x", MaxBytes+1)},
		{"bcrypt reads 72 bytes", BLFCrypt, strings.Repeat("x", 73)},
		{"unknown scheme", "MD5", "x"},
	} {
		if h, err := Hash(tc.scheme, []byte(tc.pw)); err == nil || !h.IsEmpty() {
			t.Errorf("%s: Hash gave no error", tc.name)
		}
	}
}

func TestStoredHashOutOfBounds(t *testing.T) {
	const salt, key = "IYdEPTteJbgbbhEqru7ONw", "/SkIJLfkEXW7LUCkjYehH6c6q3ZxmBuntLLoFcg7Ylk"
	argon := func(params string) string { return "{ARGON2ID}$argon2id$v=19$" + params + "$" + salt + "$" + key }
	sha := "$" + strings.Repeat("a", 86)
	p := NewPool(DefaultMemory)
	for _, tc := range []struct{ name, hash string }{
		{"empty", ""},
		{"clear text without scheme", "wonderland"},
		{"unknown scheme", "{MD5}abc"},
		{"no closing brace", "{PLAIN"},
		{"scheme is not the hash's", "{BLF-CRYPT}$6$abc" + sha},
		{"argon2i", "$argon2i$v=19$m=65536,t=3,p=1$" + salt + "$" + key},
		{"argon2 with 4 GiB", argon("m=4194304,t=1,p=1")},
		{"argon2 with 512 MiB, over the budget", argon("m=524288,t=1,p=1")},
		{"argon2 with no pass", argon("m=65536,t=0,p=1")},
		{"argon2 with no lane", argon("m=65536,t=1,p=0")},
		{"argon2 with 255 lanes", argon("m=65536,t=1,p=255")},
		{"argon2 that takes minutes", argon("m=65536,t=999,p=1")},
		{"argon2 with a negative number", argon("m=-1,t=1,p=1")},
		{"argon2 with a number of 70 bits", argon("m=1180591620717411303424,t=1,p=1")},
		{"argon2 parameters in another order", argon("t=1,m=65536,p=1")},
		{"argon2 of another version", "$argon2id$v=16$m=65536,t=3,p=1$" + salt + "$" + key},
		{"argon2 with a short key", "$argon2id$v=19$m=65536,t=3,p=1$" + salt + "$YQ"},
		{"bcrypt cost 31", "$2y$31$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUove"},
		{"bcrypt cost 3", "$2y$03$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUove"},
		{"bcrypt cut short", "$2y$05$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUov"},
		{"bcrypt 2x", "$2x$05$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUove"},
		{"sha512 with 999999999 rounds", "$6$rounds=999999999$abc" + sha},
		{"sha512 with 10 rounds", "$6$rounds=10$abc" + sha},
		{"sha512 with a long salt", "$6$" + strings.Repeat("s", 17) + sha},
		{"sha512 cut short", "$6$abc" + sha[:80]},
		{"longer than any hash", "{PLAIN}" + strings.Repeat("x", 600)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ok, err := p.Verify(t.Context(), secret.String(tc.hash), []byte("wonderland"))
			if ok || !errors.Is(err, ErrHash) {
				t.Errorf("Verify(%q) = %v, %v, want %v", tc.hash, ok, err, ErrHash)
			}
			if Check(secret.String(tc.hash), DefaultMemory) == nil {
				t.Errorf("Check(%q) = nil", tc.hash)
			}
			if len(tc.hash) > 12 && err != nil && strings.Contains(err.Error(), tc.hash[12:]) {
				t.Errorf("the error holds the hash: %v", err)
			}
		})
	}
	if n := p.Done(); n != 0 {
		t.Errorf("%d hashes were computed, want none", n)
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
		s, err := parse(secret.String(h))
		if err != nil {
			t.Fatal(err)
		}
		n := nobody(s.class)
		if s.class.scheme != Argon2id && s.class.scheme != Plain {
			again, err := parse(secret.New(n.encoded))
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

func TestBusyIsKnownBeforehand(t *testing.T) {
	p := NewPool(DefaultMemory)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	p.pending = time.Duration(p.n) * 2 * time.Hour
	if _, err := p.Verify(ctx, secret.String(fromDovecot[0]), []byte("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("Verify with a full queue = %v, want %v", err, ErrBusy)
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

// TestDoveadm checks both directions against Dovecot's own tool.
func TestDoveadm(t *testing.T) {
	doveadm, err := exec.LookPath("doveadm")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("doveadm is missing (package dovecot-core)")
		}
		t.Skip("doveadm is missing (package dovecot-core)")
	}
	p := NewPool(DefaultMemory)
	long := strings.Repeat("a", 72)
	for _, s := range schemes {
		for _, pw := range []string{"p$%{x} ä", long} {
			out, err := exec.Command(doveadm, "pw", "-s", string(s), "-p", pw).Output()
			if err != nil {
				t.Fatalf("doveadm pw -s %s: %v", s, err)
			}
			theirs := secret.String(strings.TrimRight(string(out), "\n"))
			if ok, err := p.Verify(t.Context(), theirs, []byte(pw)); !ok || err != nil {
				t.Errorf("Verify(doveadm pw -s %s -p %q) = %v, %v", s, pw, ok, err)
			}
			ours, err := Hash(s, []byte(pw))
			if err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(doveadm, "pw", "-t", string(ours.Reveal()), "-p", pw).CombinedOutput(); err != nil {
				t.Errorf("doveadm refuses our %s: %v %s", s, err, out)
			}
		}
	}
	h, err := Hash(BLFCrypt, []byte(long))
	if err != nil {
		t.Fatal(err)
	}
	for _, pw := range []string{long + "zzz", long[:71]} {
		theirs := exec.Command(doveadm, "pw", "-t", string(h.Reveal()), "-p", pw).Run() == nil
		if ok, err := p.Verify(t.Context(), h, []byte(pw)); ok != theirs || err != nil {
			t.Errorf("bcrypt with %d bytes = %v, %v, Dovecot says %v", len(pw), ok, err, theirs)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, h := range fromDovecot {
		f.Add(h)
	}
	f.Add("{ARGON2ID}$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$6$rounds=0x10$$")
	f.Fuzz(func(t *testing.T, h string) {
		s, err := parse(secret.String(h))
		if err != nil {
			return
		}
		if s.class.work() > maxWork || s.class.work() < 0 || s.class.bytes() > maxArgonBytes {
			t.Fatalf("parse(%q) = %+v: out of bounds", h, s.class)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	p := NewPool(DefaultMemory)
	for _, s := range schemes {
		h, err := Hash(s, []byte("wonderland"))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(s), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := p.Verify(b.Context(), h, []byte("wonderland")); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
