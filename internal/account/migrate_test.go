package account

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/sqlite"
)

// A file of before what restricts logins: everybody logs in as yesterday.
func TestUpgradeOfLogins(t *testing.T) {
	old := fstest.MapFS{}
	for _, name := range []string{"0001_accounts.sql", "0002_rights.sql"} {
		b, err := migrations.ReadFile("migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		old[name] = &fstest.MapFile{Data: b}
	}
	path := filepath.Join(t.TempDir(), "accounts.db")
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Migrations: old, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Writer.Exec(`INSERT INTO domains (name) VALUES ('example.org');
		INSERT INTO users (domain_id, local, password, quota, changed) VALUES (1, 'bob', '{PLAIN}x', 7, 1000)`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSQLite(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	u, err := s.User(t.Context(), mailaddr.Address{LocalPart: "bob", Domain: "example.org"})
	if err != nil || u.Quota != 7 || u.AllowNets != nil || u.NoLogin != "" || u.Services != nil || !u.Expires.IsZero() || u.Disabled {
		t.Errorf("User() = %+v, %v", u, err)
	}
}
