package mysql

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mariadbtest"
	"github.com/gatepost/gatepost/internal/secret"
)

// A use is at the server when the store closes, and one that another host noted
// later stays.
func TestUsesAreWritten(t *testing.T) {
	server := mariadbtest.Start(t)
	cfg := ownConfig(t, server)
	s := openStore(t, cfg)
	ctx := t.Context()
	accounttest.Fill(t, s, "example.org", "alice@example.org")
	if err := s.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("x")}); err != nil {
		t.Fatal(err)
	}
	all, err := s.AppPasswords(ctx, alice)
	if err != nil || len(all) != 1 {
		t.Fatalf("AppPasswords() = %v, %v", all, err)
	}
	now, home, away := time.Now().Truncate(time.Millisecond), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	version := s.Version()
	note := func(when time.Time, from netip.Addr) {
		t.Helper()
		host, err := Open(ctx, cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		host.Fresh().(account.AppUses).UsedAppPassword(all[0], when, from)
		if err := host.Close(); err != nil {
			t.Fatal(err)
		}
	}
	note(now, home)
	note(now.Add(-time.Minute), away)
	again := openStore(t, cfg)
	if got, err := again.AppPasswords(ctx, alice); err != nil || len(got) != 1 || !got[0].LastUsed.Equal(now) || got[0].LastAddr != home {
		t.Errorf("AppPasswords() = %+v, %v, want a use at %v from %v", got, err, now, home)
	}
	if s.Version() != version {
		t.Error("a use moved the version")
	}
}

// What a stranger types is looked for, and nothing else.
func TestHostileNames(t *testing.T) {
	server := mariadbtest.Start(t)
	s := openStore(t, ownConfig(t, server))
	ctx := t.Context()
	accounttest.Fill(t, s, "example.org", "alice@example.org")
	for _, local := range []string{
		`' OR '1'='1`, `\' OR 1=1 -- `, "\xbf\x27 OR 1=1 -- ", "\xff", "alice\x00", "alice ", "alice\\", "%", "?", "alice'/*", strings.Repeat("a", 70000), "😀", "alicé",
	} {
		for _, a := range []mailaddr.Address{{LocalPart: local, Domain: "example.org"}, {LocalPart: "alice", Domain: local}} {
			if _, err := s.User(ctx, a); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("User(%.40q) = %v, want ErrNotFound", a, err)
			}
			if _, err := s.Alias(ctx, a); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("Alias(%.40q) = %v, want ErrNotFound", a, err)
			}
			if apps, err := s.AppPasswords(ctx, a); err != nil || len(apps) != 0 {
				t.Errorf("AppPasswords(%.40q) = %v, %v, want none", a, apps, err)
			}
			if st, err := s.Standing(ctx, a); err != nil || len(st.Groups)+len(st.Rates) != 0 {
				t.Errorf("Standing(%.40q) = %v, %v, want none", a, st, err)
			}
		}
		if _, err := s.Domain(ctx, local); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("Domain(%.40q) = %v, want ErrNotFound", local, err)
		}
	}
}

// A server whose session would read backslashes otherwise gets ours.
func TestServerWithoutBackslashEscapes(t *testing.T) {
	server := mariadbtest.Start(t, mariadbtest.Args("--sql-mode=NO_BACKSLASH_ESCAPES,ANSI_QUOTES"))
	s := openStore(t, ownConfig(t, server))
	odd := account.User{Addr: mailaddr.Address{LocalPart: `o'b"\`, Domain: "example.org"}, Password: secret.String(`{PLAIN}'\" OR 1`), NoLogin: `a\'b`}
	if err := errors.Join(s.AddDomain(t.Context(), "example.org"), s.AddUser(t.Context(), odd)); err != nil {
		t.Fatal(err)
	}
	if u, err := s.Fresh().User(t.Context(), odd.Addr); err != nil || u.Addr != odd.Addr || !u.Password.Equal(odd.Password) || u.NoLogin != odd.NoLogin {
		t.Errorf("User() = %+v, %v", u, err)
	}
}

// Without the row of the version nothing would be seen by other hosts.
func TestVersionRowIsGone(t *testing.T) {
	server := mariadbtest.Start(t)
	cfg := ownConfig(t, server)
	var log lockedBuffer
	s := openLogged(t, cfg, &log)
	server.ExecIn(t, cfg.DBName, "DELETE FROM gatepost_version")
	const told = "does not tell its version"
	accounttest.Eventually(t, "the log does not tell", func() bool { return strings.Contains(log.String(), told) })
	for range 3 {
		s.poll(t.Context(), s.hosts.write)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("the log tells %d things, want one: %s", n, log.String())
	}
	if _, err := s.User(t.Context(), alice); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("User() = %v, want ErrNotFound: the server answers", err)
	}
	if err := s.AddDomain(t.Context(), "example.org"); err == nil || !strings.Contains(err.Error(), "gatepost_version") {
		t.Errorf("AddDomain() = %v, want an error that names the table", err)
	}
	if err := s.Writable(t.Context()); err == nil {
		t.Error("Writable() = nil")
	}
}

// No password of a user, nor the server's, is in the log or in an error.
func TestNoSecretIsTold(t *testing.T) {
	server := mariadbtest.Start(t)
	cfg := ownConfig(t, server)
	var log lockedBuffer
	s := openLogged(t, cfg, &log)
	const planted = "{PLAIN}planted-hash"
	ctx := t.Context()
	accounttest.Fill(t, s, "example.org", "alice@example.org")
	server.ExecIn(t, cfg.DBName, "ALTER TABLE gatepost_users MODIFY password VARBINARY(15) NOT NULL")
	errs := errors.Join(s.SetPassword(ctx, alice, secret.String(planted)), s.AddUser(ctx, account.User{Addr: alice, Password: secret.String(planted)}))
	server.Kill(t)
	errs = errors.Join(errs, s.SetPassword(ctx, alice, secret.String(planted)))
	accounttest.Eventually(t, "nothing is told", func() bool { return strings.Contains(log.String(), "does not answer") })
	told := log.String() + errs.Error()
	if strings.Contains(told, "planted") {
		t.Errorf("a password is told: %s", told)
	}
}
