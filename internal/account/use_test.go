package account

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/account/use"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

var (
	alice = mailaddr.Address{LocalPart: "alice", Domain: "example.org"}
	home  = netip.MustParseAddr("192.0.2.7")
)

// appStore is a store with one app password.
func appStore(t testing.TB, path string) (*SQLite, AppPassword) {
	t.Helper()
	ctx := context.Background()
	s, err := OpenSQLite(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.AddDomain(ctx, "example.org"), s.AddUser(ctx, User{Addr: alice, Password: secret.String("{PLAIN}old")}),
		s.AddAppPassword(ctx, AppPassword{User: alice, Name: "phone", Hash: secret.String("x")})); err != nil {
		t.Fatal(err)
	}
	return s, only(t, s)
}

// only returns alice's one app password.
func only(t testing.TB, s *SQLite) AppPassword {
	t.Helper()
	all, err := s.AppPasswords(context.Background(), alice)
	if err != nil || len(all) != 1 {
		t.Fatalf("AppPasswords() = %v, %v, want one", all, err)
	}
	return all[0]
}

// onDisk returns the last use that the file has, in milliseconds.
func onDisk(t testing.TB, s *SQLite) (ms int64) {
	t.Helper()
	if err := s.db.Reader.QueryRow("SELECT last_used FROM app_passwords").Scan(&ms); err != nil {
		t.Fatal(err)
	}
	return ms
}

// A use shows at once, is on disk within a minute, and neither moves Version nor
// empties a cache.
func TestUseIsWrittenLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	synctest.Test(t, func(t *testing.T) {
		s, p := appStore(t, path)
		version := s.Version()
		first := time.Now()
		s.UsedAppPassword(p, first, home)
		for i := range 10 {
			s.UsedAppPassword(p, first.Add(time.Duration(i)*time.Second), netip.AddrFrom16(home.As16()))
		}
		s.UsedAppPassword(p, first.Add(-time.Hour), home) // came late
		last := first.Add(9 * time.Second)
		if got := only(t, s); !got.LastUsed.Equal(last) || got.LastAddr != home {
			t.Errorf("the last use is %v from %v, want %v from %v", got.LastUsed, got.LastAddr, last, home)
		}
		if ms := onDisk(t, s); ms != 0 {
			t.Errorf("the use was written before the answer: %d", ms)
		}
		time.Sleep(use.Delay + time.Second) // the bubble's clock
		synctest.Wait()
		if ms := onDisk(t, s); ms != last.UnixMilli() {
			t.Errorf("after a minute the file has %d, want %d", ms, last.UnixMilli())
		}
		if s.Version() != version {
			t.Error("a use moved the version")
		}
		if _, _, ok := s.apps.Get(version, alice, 0); !ok {
			t.Error("a use emptied the cache")
		}
		s.UsedAppPassword(p, first.Add(time.Hour), home)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := OpenSQLite(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got := only(t, again); !got.LastUsed.Equal(first.Add(time.Hour).Truncate(time.Millisecond)) || got.LastAddr != home {
			t.Errorf("after a restart the last use is %v from %v", got.LastUsed, got.LastAddr)
		}
	})
}

// A use that comes late does not go to another password of that name.
func TestUseOfRemoved(t *testing.T) {
	s, p := appStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	defer s.Close()
	ctx := t.Context()
	if err := errors.Join(s.RemoveAppPassword(ctx, alice, "phone"),
		s.AddAppPassword(ctx, AppPassword{User: alice, Name: "phone", Hash: secret.String("y")})); err != nil {
		t.Fatal(err)
	}
	s.UsedAppPassword(p, time.Now(), home)
	if err := s.writeUses(ctx); err != nil {
		t.Fatal(err)
	}
	if got := only(t, s); !got.LastUsed.IsZero() || onDisk(t, s) != 0 {
		t.Errorf("the new one was used at %v", got.LastUsed)
	}
}

// What could not be written is written later.
func TestUseSurvivesFailedWrite(t *testing.T) {
	s, p := appStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	defer s.Close()
	s.UsedAppPassword(p, time.Now(), home)
	gone, stop := context.WithCancel(t.Context())
	stop()
	if err := s.writeUses(gone); err == nil {
		t.Error("writeUses() = nil with a cancelled context")
	}
	if err := s.writeUses(t.Context()); err != nil || onDisk(t, s) == 0 {
		t.Errorf("writeUses() = %v, and the file has %d", err, onDisk(t, s))
	}
}

// Rows that were cached before their uses were forgotten are read again.
func TestUsesAfterEpoch(t *testing.T) {
	s, p := appStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	defer s.Close()
	s.UsedAppPassword(p, time.Now(), home)
	for i := range int64(25_000) { // half of what is remembered
		s.uses.Note(1000+i, use.Use{When: time.Now(), From: home})
	}
	if err := s.writeUses(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := only(t, s); got.LastUsed.IsZero() || s.uses.Epoch() == 0 {
		t.Errorf("the last use is %v, and nothing was forgotten", got.LastUsed)
	}
}

func TestRehash(t *testing.T) {
	s, _ := appStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	defer s.Close()
	ctx := t.Context()
	old, hash := secret.String("{PLAIN}old"), secret.String("{ARGON2ID}new")
	refused := errors.New("refused")
	ok := func(secret.Value) error { return nil }
	check := func(what string, err, wanted error, stored secret.Value) {
		t.Helper()
		u, userErr := s.User(ctx, alice)
		if !errors.Is(err, wanted) || wanted == nil && err != nil || userErr != nil || !u.Password.Equal(stored) {
			t.Errorf("%s: %v, want %v; the user has the right hash: %v", what, err, wanted, u.Password.Equal(stored))
		}
	}
	check("another old one", s.Rehash(ctx, alice, secret.String("{PLAIN}x"), hash, ok), ErrChanged, old)
	check("refused by verify", s.Rehash(ctx, alice, old, hash, func(secret.Value) error { return refused }), refused, old)
	check("can not be stored", s.Rehash(ctx, alice, old, secret.String("a\tb"), ok), ErrInvalid, old)
	check("nobody", s.Rehash(ctx, mailaddr.Address{LocalPart: "x", Domain: "example.org"}, old, hash, ok), ErrNotFound, old)
	var seen secret.Value
	version := s.Version()
	check("right", s.Rehash(ctx, alice, old, hash, func(v secret.Value) error { seen = v; return nil }), nil, hash)
	if !seen.Equal(hash) || s.Version() <= version {
		t.Errorf("verify had the new hash: %v; version %d, was %d", seen.Equal(hash), s.Version(), version)
	}
	check("twice", s.Rehash(ctx, alice, old, hash, ok), ErrChanged, hash)
}

// A column that is too short, as one of somebody else's may be, cuts the hash:
// what is read back is another one, and the old one stays.
func TestRehashThatIsCut(t *testing.T) {
	s, _ := appStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	defer s.Close()
	const cut = `CREATE TRIGGER cut AFTER UPDATE ON users WHEN length(NEW.password) > 8
		BEGIN UPDATE users SET password = substr(NEW.password, 1, 8) WHERE id = NEW.id; END`
	if _, err := s.db.Writer.Exec(cut); err != nil {
		t.Fatal(err)
	}
	old := secret.String("{PLAIN}old")
	verified := false
	err := s.Rehash(t.Context(), alice, old, secret.String("{ARGON2ID}long"), func(secret.Value) error { verified = true; return nil })
	if u, userErr := s.User(t.Context(), alice); err == nil || verified || userErr != nil || !u.Password.Equal(old) {
		t.Errorf("Rehash() = %v, %v, and the old hash stays: %v", err, userErr, u.Password.Equal(old))
	}
}

// A key stays after a restart, and each name has its own.
func TestOwnKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	s, _ := appStore(t, path)
	key := func(s *SQLite, name string) secret.Value {
		t.Helper()
		k, err := s.OwnKey(t.Context(), name)
		if err != nil || len(k.Reveal()) != ownKeyBytes {
			t.Fatalf("OwnKey(%s) has %d bytes, %v", name, len(k.Reveal()), err)
		}
		return k
	}
	first, version := key(s, "scram"), s.Version()
	if !key(s, "scram").Equal(first) || key(s, "other").Equal(first) || s.Version() != version {
		t.Error("a key changes, or two names have one, or a key moves the version")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenSQLite(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !key(again, "scram").Equal(first) {
		t.Error("a key changes with a restart")
	}
}

func BenchmarkAppPasswords(b *testing.B) {
	s, p := appStore(b, filepath.Join(b.TempDir(), "accounts.db"))
	defer s.Close()
	s.UsedAppPassword(p, time.Now(), home)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.AppPasswords(b.Context(), alice); err != nil {
			b.Fatal(err)
		}
	}
}
