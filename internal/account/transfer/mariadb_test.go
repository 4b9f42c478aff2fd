package transfer

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatepost/gatepost/internal/account/mysql"
	"github.com/gatepost/gatepost/internal/mariadbtest"
)

// openMariaDB opens a fresh store in a database of its own.
func openMariaDB(t *testing.T, server *mariadbtest.Server) Store {
	t.Helper()
	name := server.CreateDatabase(t)
	user := server.CreateUser(t, "ALL ON `"+name+"`.*")
	cfg := mysql.Default()
	cfg.Hosts, cfg.DBName, cfg.User = []string{"unix:" + server.Socket}, name, user.Name
	cfg.PasswordFile = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(cfg.PasswordFile, []byte(user.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := mysql.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestMoveToMariaDBAndBack(t *testing.T) {
	server := mariadbtest.Start(t)
	from, there, back := openSQLite(t), openMariaDB(t, server), openSQLite(t)
	fill(t, from)
	testMove(t, from, there)
	testMove(t, there, back)
	if a, b := export(t, from), export(t, back); !bytes.Equal(a, b) {
		t.Errorf("what comes back is\n%s\nwant\n%s", b, a)
	}
	testMove(t, there, openMariaDB(t, server))
}

func TestMoveToMariaDBIsResumed(t *testing.T) {
	server := mariadbtest.Start(t)
	from := openSQLite(t)
	fill(t, from)
	testResume(t, export(t, from), openMariaDB(t, server))
}

// What differs in a filled store of either kind is put right by Replace.
func TestReplaceInMariaDB(t *testing.T) {
	server := mariadbtest.Start(t)
	from := openSQLite(t)
	fill(t, from)
	testReplace(t, export(t, from), openMariaDB(t, server))
}

// A server that goes away in the middle ends the run; the next one goes on.
func TestMariaDBAwayInTheMiddle(t *testing.T) {
	server := mariadbtest.Start(t)
	from, to := openSQLite(t), openMariaDB(t, server)
	fill(t, from)
	file := export(t, from)
	rep, err := Import(t.Context(), &cut{to, 3, func() { server.Kill(t) }}, bytes.NewReader(file), Options{})
	if err == nil || rep.Refused != 0 {
		t.Fatalf("with the server away: %+v, %v", rep, err)
	}
	server.Restart(t)
	// The store finds the server again by itself.
	for try := 0; ; try++ {
		if rep, err = Import(t.Context(), to, bytes.NewReader(file), Options{}); err == nil {
			break
		}
		if try == 1000 {
			t.Fatal(err)
		}
	}
	if !rep.Verified || rep.Same == 0 || rep.Refused != 0 {
		t.Errorf("after the restart: %+v", rep)
	}
}
