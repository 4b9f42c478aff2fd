package mysql

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mariadbtest"
	"github.com/gatepost/gatepost/internal/secret"
)

// guideTables are those that the guides make.
const guideTables = `CREATE TABLE domains (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL) DEFAULT CHARSET = utf8mb4;
CREATE TABLE users (id INT PRIMARY KEY AUTO_INCREMENT, domain_id INT NOT NULL, password VARCHAR(106) NOT NULL, email VARCHAR(120) NOT NULL,
	UNIQUE KEY email (email), FOREIGN KEY (domain_id) REFERENCES domains (id) ON DELETE CASCADE) DEFAULT CHARSET = utf8mb4;
CREATE TABLE aliases (id INT PRIMARY KEY AUTO_INCREMENT, domain_id INT NOT NULL, source VARCHAR(100) NOT NULL, destinations TEXT NOT NULL,
	FOREIGN KEY (domain_id) REFERENCES domains (id) ON DELETE CASCADE) DEFAULT CHARSET = utf8mb4;
INSERT INTO domains (name) VALUES ('example.org');
INSERT INTO users (domain_id, password, email) VALUES (1, '{PLAIN}x', 'Alice@example.org'), (1, '$6$bare', 'rené@example.org');
INSERT INTO aliases (domain_id, source, destinations) VALUES (1, 'info@example.org', 'alice@example.org, bob@far.example'), (1, '@example.org', 'alice@example.org'),
	(1, 'bad@example.org', '|/bin/sh');`

// guideStore is a store over the guides' tables, with rights to read them alone.
func guideStore(t *testing.T, server *mariadbtest.Server, edit func(c *Config)) (s *Store, theirs string) {
	t.Helper()
	theirs, ours := server.CreateDatabase(t), server.CreateDatabase(t)
	server.ExecIn(t, theirs, guideTables)
	cfg := configAs(t, server, theirs, server.CreateUser(t, "SELECT ON `"+theirs+"`.*", "ALL ON `"+ours+"`.*"))
	cfg.OwnDBName, cfg.Schema = ours, "guide"
	if edit != nil {
		edit(&cfg)
	}
	return openStore(t, cfg), theirs
}

func TestForeignSchema(t *testing.T) {
	server := mariadbtest.Start(t)
	s, theirs := guideStore(t, server, func(c *Config) { c.DefaultPassScheme, c.CacheTime = "SHA512-CRYPT", 0 })
	ctx := t.Context()
	u, err := s.User(ctx, alice)
	if err != nil || u.Addr != alice || string(u.Password.Reveal()) != "{PLAIN}x" || u.ID == 0 {
		t.Errorf("User() = %+v, %v", u, err)
	}
	rene := mailaddr.Address{LocalPart: "rené", Domain: "example.org"}
	if u, err := s.User(ctx, rene); err != nil || string(u.Password.Reveal()) != "{SHA512-CRYPT}$6$bare" {
		t.Errorf("User(rené) = %+v, %v", u, err)
	}
	// Their collation takes these for the ones that are there.
	for _, local := range []string{"alicé", "rene", "alice ", "%", "x' OR '1'='1", `x\' OR 1=1 -- `, "nobody"} {
		if _, err := s.User(ctx, mailaddr.Address{LocalPart: local, Domain: "example.org"}); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("User(%q) = %v, want ErrNotFound", local, err)
		}
	}
	if a, err := s.Alias(ctx, accounttest.Addr(t, "INFO@example.org")); err != nil || len(a.To) != 2 || a.To[1].String() != "bob@far.example" {
		t.Errorf("Alias() = %+v, %v", a, err)
	}
	if _, err := s.Alias(ctx, accounttest.Addr(t, "bad@example.org")); err == nil || errors.Is(err, account.ErrNotFound) {
		t.Errorf("Alias(bad) = %v, want an error that tells", err)
	}
	if all, err := s.Aliases(ctx, ""); err != nil || len(all) != 2 {
		t.Errorf("Aliases() = %+v, %v, want two", all, err)
	}
	for what, err := range map[string]error{
		"AddDomain": s.AddDomain(ctx, "a.example"), "RemoveDomain": s.RemoveDomain(ctx, "example.org", true), "AddUser": s.AddUser(ctx, account.User{Addr: rene}),
		"RemoveUser": s.RemoveUser(ctx, alice), "SetPassword": s.SetPassword(ctx, alice, secret.String("x")), "SetQuota": s.SetQuota(ctx, alice, 1),
		"AddAlias": s.AddAlias(ctx, account.Alias{Addr: alice, To: []mailaddr.Address{rene}}), "RemoveAlias": s.RemoveAlias(ctx, alice),
		"Rehash": s.Rehash(ctx, alice, u.Password, u.Password, func(secret.Value) error { return nil }),
	} {
		if !errors.Is(err, account.ErrReadOnly) {
			t.Errorf("%s = %v, want ErrReadOnly", what, err)
		}
	}
	if _, ok := s.Fresh().(account.Rehasher); ok {
		t.Error("Fresh() would hash passwords anew that are not ours")
	}
	secondAlice(t, s, server, theirs)
}

// secondAlice removes alice and makes another one, as their program would: the
// second has nothing of what we added to the first.
func secondAlice(t *testing.T, s *Store, server *mariadbtest.Server, theirs string) {
	ctx := t.Context()
	boss := mailaddr.Address{LocalPart: "boss", Domain: "example.org"}
	if err := errors.Join(s.SetHeld(ctx, alice, true), s.SetDisabled(ctx, alice, true), s.AddGrant(ctx, alice, boss),
		s.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("h")}),
		s.AddToGroup(ctx, account.Group{Name: "staff", Users: []mailaddr.Address{alice}}),
		s.SetRate(ctx, account.LimitRate{Subject: account.Subject{User: alice}, Limit: "outgoing", Rate: "1/1h"})); err != nil {
		t.Fatal(err)
	}
	has := func() (held bool, n int) {
		t.Helper()
		u, err1 := s.User(ctx, alice)
		apps, err2 := s.Fresh().AppPasswords(ctx, alice)
		grants, err3 := s.Grants(ctx, alice)
		grantees, err4 := s.Grantees(ctx, boss)
		standing, err5 := s.Standing(ctx, alice)
		groups, err6 := s.Groups(ctx)
		rates, err7 := s.Rates(ctx)
		if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
			t.Fatal(err)
		}
		return u.Held && u.Disabled, len(apps) + len(grants) + len(grantees) + len(standing.Groups) + len(standing.Rates) + len(groups) + len(rates)
	}
	if held, n := has(); !held || n != 7 {
		t.Errorf("alice is held: %v, and has %d things of ours, want 7", held, n)
	}
	server.ExecIn(t, theirs, "DELETE FROM users WHERE email = 'alice@example.org'")
	if _, err := s.User(ctx, alice); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("User() of one who is gone = %v", err)
	}
	if err := s.SetHeld(ctx, alice, true); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("SetHeld() of one who is gone = %v", err)
	}
	server.ExecIn(t, theirs, "INSERT INTO users (domain_id, password, email) VALUES (1, '{PLAIN}y', 'alice@example.org')")
	if held, n := has(); held || n != 0 {
		t.Errorf("the second alice is held: %v, and has %d things of the first", held, n)
	}
	if err := s.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("h")}); err != nil {
		t.Errorf("AddAppPassword() to the second = %v", err)
	}
	if _, n := has(); n != 1 {
		t.Errorf("the second alice has %d things, want 1", n)
	}
}

// Rows of ours beside theirs, in one database: rights to write our tables only.
func TestSameDatabase(t *testing.T) {
	server := mariadbtest.Start(t)
	theirs := server.CreateDatabase(t)
	server.ExecIn(t, theirs, guideTables)
	rights := []string{"SELECT ON `" + theirs + "`.*"}
	for _, table := range ourTables(t) {
		rights = append(rights, "ALL ON `"+theirs+"`.`"+table+"`")
	}
	cfg := configAs(t, server, theirs, server.CreateUser(t, rights...))
	cfg.Schema = "guide"
	s := openStore(t, cfg)
	if err := s.SetHeld(t.Context(), alice, true); err != nil {
		t.Error(err)
	}
	if u, err := s.User(t.Context(), alice); err != nil || !u.Held {
		t.Errorf("User() = %+v, %v, want held", u, err)
	}
	if _, err := s.hosts.write.db.Exec("DELETE FROM users"); err == nil {
		t.Error("the user of the test may write their tables")
	}
}

// ourTables are the names of the tables that the migrations make.
func ourTables(t *testing.T) (all []string) {
	t.Helper()
	files, err := steps(migrations)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range files {
		for _, one := range s.statements() {
			if rest, ok := strings.CutPrefix(one, "CREATE TABLE IF NOT EXISTS {"); ok {
				name, _, _ := strings.Cut(rest, "}")
				all = append(all, "gatepost_"+name)
			}
		}
	}
	return all
}

// Several hosts that start together make the tables once.
func TestMigrateTogether(t *testing.T) {
	server := mariadbtest.Start(t)
	cfg := ownConfig(t, server)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			s, err := Open(context.Background(), cfg, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	files, err := steps(migrations)
	if err != nil {
		t.Fatal(err)
	}
	db := server.Open(t, cfg.DBName)
	var n int
	if err := db.QueryRow("SELECT count(*) FROM gatepost_schema").Scan(&n); err != nil || n != len(files) {
		t.Errorf("%d steps are noted, %v, want %d", n, err, len(files))
	}
	server.ExecIn(t, cfg.DBName, "INSERT INTO gatepost_schema VALUES (99, '0099_x.sql', 'x', 0)")
	if _, err := Open(t.Context(), cfg, nil); !errors.Is(err, ErrNewer) {
		t.Errorf("Open() of newer tables = %v, want ErrNewer", err)
	}
	server.ExecIn(t, cfg.DBName, "DELETE FROM gatepost_schema WHERE version = 99; UPDATE gatepost_schema SET checksum = 'x'")
	if _, err := Open(t.Context(), cfg, nil); !errors.Is(err, ErrChanged) {
		t.Errorf("Open() of other tables = %v, want ErrChanged", err)
	}
}

// What the server says is wrong is said at the start.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	server := mariadbtest.Start(t)
	planted := "planted-secret-word"
	for _, tc := range []struct {
		name, want string
		edit       func(c *Config)
	}{
		{"no such database", "to database 'nowhere'", func(c *Config) { c.DBName = "nowhere" }},
		{"wrong password", "Access denied", func(c *Config) { _ = os.WriteFile(c.PasswordFile, []byte(planted), 0o600) }},
		{"no password file", "no such file", func(c *Config) { c.PasswordFile = "/nowhere/password" }},
		{"no right to make tables", "GRANT ALL ON", func(c *Config) {
			u := server.CreateUser(t, "SELECT ON `"+c.DBName+"`.*")
			c.User = u.Name
			_ = os.WriteFile(c.PasswordFile, []byte(u.Password), 0o600)
		}},
		{"tables of another schema", "domains", func(c *Config) { c.Schema = "guide" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := ownConfig(t, server)
			tc.edit(&cfg)
			s, err := Open(t.Context(), cfg, nil)
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), planted) {
				t.Errorf("Open() = %v, want %q", err, tc.want)
			}
		})
	}
	server2 := func(c *Config) {
		c.Queries.User = "SELECT email AS address, password, email AS mail FROM users WHERE email = %s"
	}
	theirs := server.CreateDatabase(t)
	server.ExecIn(t, theirs, guideTables)
	cfg := configAs(t, server, theirs, server.CreateUser(t, "ALL ON `"+theirs+"`.*"))
	cfg.Schema = "guide"
	server2(&cfg)
	if _, err := Open(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), `"mail"`) {
		t.Errorf("Open() with a column too many = %v", err)
	}
}

func TestTLS(t *testing.T) {
	server := mariadbtest.Start(t, mariadbtest.TLS())
	cfg := ownConfig(t, server)
	server.Exec(t, "ALTER USER '"+cfg.User+"'@'%' REQUIRE SSL")
	cfg.Hosts = []string{"inet:" + server.Addr}
	other := filepath.Join(t.TempDir(), "ca.pem")
	if b, err := os.ReadFile(mariadbtest.Start(t, mariadbtest.TLS()).CA); err != nil || os.WriteFile(other, b, 0o600) != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, level, ca string
		ok              bool
	}{
		{"none", tlsNone, "", false}, {"encrypt", tlsEncrypt, "", true}, {"verify", tlsVerify, server.CA, true},
		{"verify by the system's", tlsVerify, "", false}, {"verify by another authority", tlsVerify, other, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := cfg
			c.TLSLevel, c.TLSCAFile = tc.level, tc.ca
			s, err := Open(t.Context(), c, slog.New(slog.DiscardHandler))
			if err != nil {
				if tc.ok {
					t.Fatal(err)
				}
				return
			}
			t.Cleanup(func() { _ = s.Close() })
			var cipher, name string
			err = s.hosts.write.db.QueryRow("SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher)
			if (err == nil && cipher != "") != tc.ok {
				t.Errorf("the cipher is %q, %v", cipher, err)
			}
		})
	}
}

// A look-up after a change goes to no server that does not have it yet; one that
// is dead is left out.
func TestReplicas(t *testing.T) {
	primary := mariadbtest.Start(t, mariadbtest.Primary(), writesThrough())
	replica := mariadbtest.StartReplica(t, primary)
	cfg := ownConfig(t, primary)
	mariadbtest.WaitReplica(t, primary, replica)
	cfg.Hosts, cfg.WriteHost = []string{"unix:" + replica.Socket}, "unix:"+primary.Socket
	s := openStore(t, cfg)
	ctx := t.Context()
	accounttest.Fill(t, s, "example.org", "alice@example.org", "bob@example.org")
	bob := accounttest.Addr(t, "bob@example.org")
	onReplica := s.hosts.read[0]
	current := func() bool { _, v := s.clock.version(); return onReplica.applied.Load() == v }
	accounttest.Eventually(t, "the replica does not follow", current)
	replica.Exec(t, "STOP SLAVE SQL_THREAD")
	for i := range 20 {
		password := secret.String("{PLAIN}" + string(rune('a'+i)))
		if err := s.SetPassword(ctx, alice, password); err != nil {
			t.Fatal(err)
		}
		for _, view := range []account.Reader{s, s.Fresh()} {
			if u, err := view.User(ctx, alice); err != nil || !u.Password.Equal(password) {
				t.Fatalf("after change %d User() = %v, and it has the new password: %v", i, err, u.Password.Equal(password))
			}
		}
	}
	replica.Exec(t, "START SLAVE")
	accounttest.Eventually(t, "the replica does not follow", current)
	primary.Kill(t)
	accounttest.Eventually(t, "the primary's end is not noticed", s.hosts.write.down.Load)
	// The replica had all changes: it does for names that are there.
	if u, err := s.User(ctx, bob); err != nil || u.Addr != bob {
		t.Errorf("User(bob) = %+v, %v, want him by the replica", u, err)
	}
	// Others may go on to change what this host and the replica are cut off from.
	accounttest.Eventually(t, "logins go to the replica", func() bool { _, err := s.Fresh().User(ctx, alice); return err != nil })
	_, err := s.Fresh().User(ctx, alice)
	isTransient(t, "Fresh().User()", err)
	_, err = s.Fresh().AppPasswords(ctx, alice)
	isTransient(t, "Fresh().AppPasswords()", err)
	_, err = s.User(ctx, accounttest.Addr(t, "never@example.org"))
	isTransient(t, "User(never)", err)
	if _, err := s.Domain(ctx, "far.example"); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("Domain(far.example) = %v, want ErrNotFound by the replica", err)
	}
	isTransient(t, "SetHeld()", s.SetHeld(ctx, alice, true))
	primary.Restart(t)
	replica.Kill(t)
	accounttest.Eventually(t, "the primary does not come back", func() bool { return s.SetHeld(ctx, alice, true) == nil })
	if u, err := s.Fresh().User(ctx, alice); err != nil || !u.Held {
		t.Errorf("Fresh().User() without the replica = %+v, %v", u, err)
	}
}
