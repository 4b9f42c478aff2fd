package mysql

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mariadbtest"
	"github.com/gatepost/gatepost/internal/secret"
)

var updatePresets = flag.Bool("update-presets", false, "rewrite testdata/*.want with what the presets show")

// openPreset opens a store over a database whose tables a script makes, as a
// user who may only read them, with our tables in another database.
func openPreset(t *testing.T, server *mariadbtest.Server, preset, script string) (*Store, string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", script+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := server.CreateDatabase(t), server.CreateDatabase(t)
	server.ExecIn(t, theirs, string(b))
	user := server.CreateUser(t, "SELECT ON `"+theirs+"`.*", "ALL ON `"+ours+"`.*")
	cfg := Default()
	cfg.Hosts, cfg.User, cfg.PasswordFile = []string{"unix:" + server.Socket}, user.Name, filepath.Join(t.TempDir(), "password")
	cfg.DBName, cfg.OwnDBName, cfg.Schema, cfg.CacheTime = theirs, ours, preset, 0
	if err := os.WriteFile(cfg.PasswordFile, []byte(user.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("open %s over %s: %v", preset, script, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, theirs
}

// presetTests are the presets over tables as the documentation named in
// testdata/SCRIPT.sql has them. What they show is in testdata/SCRIPT.want.
// gone are addresses and domains that are in the tables, and not to be seen.
var presetTests = []struct {
	preset, script, user string
	gone                 []string
}{
	{"guide", "guide", "alice@example.org", []string{"x@example.org", "example.gov"}},
	{"guide", "guide-rows", "alice@example.org", nil},
	{"ispmail", "ispmail", "john@example.org", []string{"office@example.net"}},
	{"ispmail", "ispmail-old", "john@example.org", nil},
	{"postfixadmin", "postfixadmin", "alice@example.org", []string{
		"ALL", "asleep.example", "backup.example", "off.example", "lost.example", "gone@example.org", "dora@asleep.example", "old@example.org",
	}},
	{"iredmail", "iredmail", "alice@example.org", []string{
		"asleep.example", "backup.example", "off.example", "lost.example", "gone@example.org", "dora@asleep.example", "old@example.org", "info@asleep.example",
	}},
	{"mailcow", "mailcow", "alice@example.org", []string{
		"asleep.example", "backup.example", "off.example", "lost.example", "gone@example.org", "room@example.org", "zed@asleep.example",
		"old@example.org", "x@asleep.example", "shop.2@example.org",
	}},
	{"mailcow", "mailcow-old", "alice@example.org", []string{"shop.2@example.org"}},
}

func TestPresets(t *testing.T) {
	server := mariadbtest.Start(t)
	for _, tc := range presetTests {
		t.Run(tc.script, func(t *testing.T) {
			s, theirs := openPreset(t, server, tc.preset, tc.script)
			comparePreset(t, tc.script, showStore(t, s))
			for _, name := range tc.gone {
				wantGone(t, s, name)
			}
			addOurs(t, s, presetAddr(t, tc.user))
			wantReadOnly(t, s, presetAddr(t, tc.user))
			var tables int
			const query = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ? AND table_name LIKE 'gatepost%'"
			if err := server.Open(t, "").QueryRow(query, theirs).Scan(&tables); err != nil || tables != 0 {
				t.Errorf("%d tables of ours are among theirs, %v", tables, err)
			}
		})
	}
}

func presetAddr(t *testing.T, s string) (a mailaddr.Address) {
	t.Helper()
	if err := a.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return a
}

// comparePreset holds what a preset shows against testdata/SCRIPT.want.
func comparePreset(t *testing.T, script, got string) {
	t.Helper()
	name := filepath.Join("testdata", script+".want")
	if *updatePresets {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s shows\n%s\nwant\n%s", script, got, want)
	}
}

// showStore writes all that lists show, and wants look-ups, those of logins too,
// to say the same.
func showStore(t *testing.T, s *Store) string {
	t.Helper()
	var b strings.Builder
	ctx, errs := t.Context(), []error(nil)
	domains, err := s.Domains(ctx)
	errs = append(errs, err)
	for _, d := range domains {
		fmt.Fprintf(&b, "domain %s\n", d.Name)
		found, err := s.Domain(ctx, strings.ToUpper(d.Name))
		if err != nil || found != d {
			t.Errorf("Domain(%s) = %+v, %v", d.Name, found, err)
		}
		ofDomain, err := s.Users(ctx, d.Name)
		errs = append(errs, err)
		for _, u := range ofDomain {
			b.WriteString(showUser(u))
			for _, r := range []account.Reader{s, s.Fresh()} {
				if found, err := r.User(ctx, u.Addr); err != nil || showUser(found) != showUser(u) || found.ID != u.ID {
					t.Errorf("User(%s) = %sin lists %s%v", u.Addr, showUser(found), showUser(u), err)
				}
			}
		}
		aliases, err := s.Aliases(ctx, d.Name)
		errs = append(errs, err)
		for _, a := range aliases {
			fmt.Fprintf(&b, "\talias %s to %s\n", account.AliasName(a.Addr), a.To)
			if found, err := s.Alias(ctx, a.Addr); err != nil || fmt.Sprint(found.To) != fmt.Sprint(a.To) {
				t.Errorf("Alias(%s) = %s, in lists %s, %v", a.Addr, found.To, a.To, err)
			}
		}
	}
	users, err1 := s.Users(ctx, "")
	aliases, err2 := s.Aliases(ctx, "")
	if err := errors.Join(append(errs, err1, err2)...); err != nil {
		t.Fatal(err)
	}
	if u, a := strings.Count(b.String(), "\tuser "), strings.Count(b.String(), "\talias "); u != len(users) || a != len(aliases) {
		t.Errorf("domains have %d users and %d aliases, all are %d and %d", u, a, len(users), len(aliases))
	}
	return b.String()
}

func showUser(u account.User) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tuser %s %s quota=%d", u.Addr, u.Password.Reveal(), u.Quota)
	for _, part := range []struct {
		is   bool
		text string
	}{
		{u.Held, "held"}, {u.Disabled, "disabled"}, {len(u.Services) > 0, "services=" + strings.Join(u.Services, ",")},
		{len(u.AllowNets) > 0, "allow_nets=" + account.FormatNets(u.AllowNets)}, {u.NoLogin != "", fmt.Sprintf("nologin=%q", u.NoLogin)},
	} {
		if part.is {
			b.WriteString(" " + part.text)
		}
	}
	return b.String() + "\n"
}

func wantGone(t *testing.T, s *Store, name string) {
	t.Helper()
	if !strings.Contains(name, "@") {
		if d, err := s.Domain(t.Context(), name); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("Domain(%s) = %+v, %v, want ErrNotFound", name, d, err)
		}
		return
	}
	addr := presetAddr(t, name)
	if u, err := s.User(t.Context(), addr); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("User(%s) = %s, %v, want ErrNotFound", name, showUser(u), err)
	}
	if a, err := s.Alias(t.Context(), addr); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("Alias(%s) = %+v, %v, want ErrNotFound", name, a, err)
	}
}

// addOurs adds to a user of theirs what stands in our tables.
func addOurs(t *testing.T, s *Store, addr mailaddr.Address) {
	t.Helper()
	ctx := t.Context()
	if err := errors.Join(
		s.SetHeld(ctx, addr, true), s.AddGrant(ctx, addr, mailaddr.Address{LocalPart: "boss", Domain: addr.Domain}),
		s.AddAppPassword(ctx, account.AppPassword{User: addr, Name: "phone", Hash: secret.String("{SHA256}x")}),
		s.AddToGroup(ctx, account.Group{Name: "staff", Users: []mailaddr.Address{addr}}),
	); err != nil {
		t.Fatal(err)
	}
	u, err1 := s.Fresh().User(ctx, addr)
	apps, err2 := s.Fresh().AppPasswords(ctx, addr)
	grants, err3 := s.Grants(ctx, addr)
	standing, err4 := s.Standing(ctx, addr)
	if err := errors.Join(err1, err2, err3, err4); err != nil || !u.Held || len(apps) != 1 || len(grants) != 1 || len(standing.Groups) != 1 {
		t.Errorf("ours of %s: held %t, %d app passwords, grants %s, groups %s, %v", addr, u.Held, len(apps), grants, standing.Groups, err)
	}
}

// wantReadOnly wants every change of theirs refused.
func wantReadOnly(t *testing.T, s *Store, addr mailaddr.Address) {
	t.Helper()
	ctx := t.Context()
	alias := account.Alias{Addr: mailaddr.Address{LocalPart: "new", Domain: addr.Domain}, To: []mailaddr.Address{addr}}
	for name, err := range map[string]error{
		"AddDomain": s.AddDomain(ctx, "new.example"), "RemoveDomain": s.RemoveDomain(ctx, addr.Domain, true),
		"AddUser":    s.AddUser(ctx, account.User{Addr: alias.Addr, Password: secret.String("{PLAIN}x")}),
		"RemoveUser": s.RemoveUser(ctx, addr), "SetPassword": s.SetPassword(ctx, addr, secret.String("{PLAIN}x")),
		"SetQuota": s.SetQuota(ctx, addr, 1), "AddAlias": s.AddAlias(ctx, alias), "RemoveAlias": s.RemoveAlias(ctx, alias.Addr),
	} {
		if !errors.Is(err, account.ErrReadOnly) {
			t.Errorf("%s = %v, want ErrReadOnly", name, err)
		}
	}
}
