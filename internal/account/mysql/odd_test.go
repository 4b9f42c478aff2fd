package mysql

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/account/use"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mariadbtest"
	"github.com/gatepost/gatepost/internal/secret"
)

// Tables of old servers are in latin1: what they can not hold is not in them.
func TestTablesInLatin1(t *testing.T) {
	server := mariadbtest.Start(t)
	theirs, ours := server.CreateDatabase(t), server.CreateDatabase(t)
	server.ExecIn(t, theirs, strings.ReplaceAll(guideTables, "utf8mb4", "latin1"))
	cfg := configAs(t, server, theirs, server.CreateUser(t, "SELECT ON `"+theirs+"`.*", "ALL ON `"+ours+"`.*"))
	cfg.OwnDBName, cfg.Schema = ours, "guide"
	s := openStore(t, cfg)
	ctx := t.Context()
	if u, err := s.User(ctx, accounttest.Addr(t, "rené@example.org")); err != nil || u.Password.IsEmpty() {
		t.Errorf("User(rené) = %+v, %v", u, err)
	}
	for _, local := range []string{"😀", "алиса", "\xff", "ali\u200bce", "ａlice"} {
		a := mailaddr.Address{LocalPart: local, Domain: "example.org"}
		if _, err := s.User(ctx, a); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("User(%q) = %v, want ErrNotFound", local, err)
		}
		if _, err := s.Alias(ctx, a); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("Alias(%q) = %v, want ErrNotFound", local, err)
		}
		if _, err := s.Domain(ctx, local+".example"); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("Domain(%q) = %v, want ErrNotFound", local, err)
		}
	}
}

// A row that says nothing of whether a user is enabled, or has a hash that is
// none, keeps its mailbox and lets nobody in.
func TestOddRows(t *testing.T) {
	server := mariadbtest.Start(t)
	s, theirs := guideStore(t, server, func(c *Config) {
		c.CacheTime = 0
		c.Queries.User = "SELECT email AS address, password, IF(email = 'null@example.org', NULL, 1) AS enabled FROM users WHERE email = %s"
		c.Queries.Users = "SELECT email AS address, password, 1 AS enabled FROM users"
	})
	ctx := t.Context()
	server.ExecIn(t, theirs, `ALTER TABLE users MODIFY password TEXT NOT NULL;
		INSERT INTO users (domain_id, password, email) VALUES (1, '{PLAIN}x', 'null@example.org'), (1, '{PLAIN}x\n', 'line@example.org'),
		(1, REPEAT('x', 2000), 'long@example.org')`)
	if u, err := s.User(ctx, accounttest.Addr(t, "null@example.org")); err != nil || !u.Disabled {
		t.Errorf("User(null) = %+v, %v, want disabled", u, err)
	}
	for _, name := range []string{"line@example.org", "long@example.org"} {
		if u, err := s.Fresh().User(ctx, accounttest.Addr(t, name)); err != nil || !u.Password.IsEmpty() || u.NoLogin == "" {
			t.Errorf("User(%s) = %+v, %v, want a mailbox without a password", name, u, err)
		}
	}
	if all, err := s.Users(ctx, ""); err != nil || len(all) != 5 {
		t.Errorf("Users() = %d, %v, want 5", len(all), err)
	}
}

// The name of a database may be as long as the server takes.
func TestLongDatabaseName(t *testing.T) {
	server := mariadbtest.Start(t)
	name := "d" + strings.Repeat("x", 63)
	server.Exec(t, "CREATE DATABASE `"+name+"`")
	s := openStore(t, configAs(t, server, name, server.CreateUser(t, "ALL ON `"+name+"`.*")))
	if err := s.AddDomain(t.Context(), "example.org"); err != nil {
		t.Error(err)
	}
}

// Many uses are written with many changes, so that none takes too long.
func TestManyUses(t *testing.T) {
	server := mariadbtest.Start(t)
	cfg := ownConfig(t, server)
	s := openStore(t, cfg)
	ctx := t.Context()
	accounttest.Fill(t, s, "example.org", "alice@example.org")
	if err := s.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("x")}); err != nil {
		t.Fatal(err)
	}
	apps, err := s.AppPasswords(ctx, alice)
	if err != nil {
		t.Fatal(err)
	}
	now, from := time.Now().Truncate(time.Millisecond), netip.MustParseAddr("192.0.2.7")
	for i := range int64(3*usesAtOnce + 1) {
		s.uses.Note(apps[0].ID+i, use.Use{When: now, From: from})
	}
	changes := server.Open(t, "")
	commits := func() (n int) {
		t.Helper()
		var name string
		if err := changes.QueryRow("SHOW GLOBAL STATUS LIKE 'Com_commit'").Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := commits()
	if err := s.writeUses(ctx); err != nil || len(s.uses.Due()) != 0 {
		t.Errorf("writeUses() = %v, and %d are left", err, len(s.uses.Due()))
	}
	if n := commits() - before; n != 4 {
		t.Errorf("%d changes, want 4", n)
	}
	if apps, err = openStore(t, cfg).AppPasswords(ctx, alice); err != nil || !apps[0].LastUsed.Equal(now) {
		t.Errorf("AppPasswords() = %+v, %v", apps, err)
	}
}
