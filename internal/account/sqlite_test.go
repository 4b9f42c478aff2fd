package account_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/sqlite"
)

func openStore(t testing.TB, path string) *account.SQLite {
	t.Helper()
	s, err := account.OpenSQLite(context.Background(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestSQLiteContract(t *testing.T) {
	accounttest.RunOn(t, func(t *testing.T) accounttest.Data {
		path := filepath.Join(t.TempDir(), "accounts.db")
		var s *account.SQLite // one process has the file
		open := func(t *testing.T) account.Backend {
			if s == nil {
				s = openStore(t, path)
			}
			return s
		}
		return accounttest.Data{Open: open, Restart: func(t *testing.T, _ account.Backend) account.Backend {
			s = nil // the first stays open, as after kill -9
			return open(t)
		}}
	})
}

func TestSQLiteSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	s := openStore(t, path)
	accounttest.Fill(t, s, "example.org", "alice@example.org", "@example.org=alice@example.org")
	again := openStore(t, path) // while the first is still open, as after kill -9
	if _, err := again.User(t.Context(), accounttest.Addr(t, "alice@example.org")); err != nil {
		t.Errorf("User() after a restart = %v", err)
	}
	if _, err := again.Alias(t.Context(), accounttest.Addr(t, "@example.org")); err != nil {
		t.Errorf("Alias() after a restart = %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file is %v, %v, want 0600", info.Mode(), err)
	}
}

// A store that begins anew would bounce everybody's mail.
func TestSQLiteRefusesDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := account.OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
	if !errors.Is(err, sqlite.ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("OpenSQLite() = %v, want ErrCorrupt with the path and a remedy", err)
	}
}

func BenchmarkUser(b *testing.B) {
	s := openStore(b, filepath.Join(b.TempDir(), "accounts.db"))
	accounttest.Fill(b, s, "example.org", "alice@example.org")
	alice := accounttest.Addr(b, "alice@example.org")
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.User(b.Context(), alice); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("not cached", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			a := mailaddr.Address{LocalPart: fmt.Sprint("x", i), Domain: "far.example"}
			if _, err := s.User(b.Context(), a); !errors.Is(err, account.ErrNotFound) {
				b.Fatal(err)
			}
		}
	})
	b.Run("change", func(b *testing.B) {
		for b.Loop() {
			if err := s.SetHeld(b.Context(), alice, true); err != nil {
				b.Fatal(err)
			}
		}
	})
}
