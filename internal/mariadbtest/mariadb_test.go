package mariadbtest

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

func count(t *testing.T, db *sql.DB) (n int, err error) {
	t.Helper()
	err = db.QueryRow("SELECT COUNT(*) FROM t").Scan(&n)
	return n, err
}

func TestServerKeepsItsData(t *testing.T) {
	s := Start(t)
	if s.Addr != "" {
		t.Errorf("Addr = %q without TCP", s.Addr)
	}
	name := s.CreateDatabase(t)
	s.ExecIn(t, name, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)")
	db := s.OpenAs(t, s.CreateUser(t, "SELECT ON `"+name+"`.*"), name)
	rows := 2
	for _, tc := range []struct {
		name string
		do   func(testing.TB)
	}{
		{"as it is", func(testing.TB) {}},
		{"after a restart", s.Restart},
		{"after SIGKILL", func(t testing.TB) {
			s.ExecIn(t, name, "INSERT INTO t VALUES (3)")
			rows++
			s.Kill(t)
			s.Restart(t)
		}},
		{"after a stop", func(t testing.TB) { s.Stop(t); s.Restart(t) }},
		{"after a pause", func(t testing.TB) { s.Pause(t); s.Resume(t) }},
	} {
		tc.do(t)
		if n, err := count(t, db); n != rows || err != nil {
			t.Errorf("%s: %d rows, want %d, %v", tc.name, n, rows, err)
		}
	}
	if _, err := db.Exec("INSERT INTO t VALUES (3)"); err == nil || !strings.Contains(err.Error(), "denied") {
		t.Errorf("a user with SELECT only inserts: %v", err)
	}
	s.Stop(t)
	if _, err := count(t, db); err == nil {
		t.Error("a server that is down answers")
	}
}

func TestRightsAreReal(t *testing.T) {
	s := Start(t)
	for _, u := range []User{{"root", ""}, {"", ""}, {"nobody", "x"}} {
		if err := s.OpenAs(t, u, "").Ping(); err == nil {
			t.Errorf("%q logs in with %q", u.Name, u.Password)
		}
	}
}

func TestTLS(t *testing.T) {
	s := Start(t, TLS())
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for _, tc := range []struct {
		name string
		tls  *tls.Config
		ok   bool
	}{
		{"none", nil, true},
		{"verified", &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}, true},
		{"another authority", &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}, false},
		{"another name", &tls.Config{RootCAs: pool, ServerName: "db.example.org"}, false},
	} {
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.TLS = s.Root.Name, s.Root.Password, "tcp", s.Addr, tc.tls
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		var name, cipher string
		err = db.QueryRow("SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher)
		if (err == nil) != tc.ok || tc.ok && (cipher != "") != (tc.tls != nil) {
			t.Errorf("%s: cipher %q, %v", tc.name, cipher, err)
		}
		_ = db.Close()
	}
}

func TestReplica(t *testing.T) {
	primary := Start(t, Primary())
	replica := StartReplica(t, primary)
	name := primary.CreateDatabase(t)
	primary.ExecIn(t, name, "CREATE TABLE t (a INT)")
	user := primary.CreateUser(t, "ALL ON `"+name+"`.*")
	WaitReplica(t, primary, replica)
	db := replica.OpenAs(t, user, name)
	if _, err := db.Exec("INSERT INTO t VALUES (1)"); err == nil {
		t.Error("a replica can be written")
	}
	replica.Exec(t, "STOP SLAVE SQL_THREAD")
	primary.ExecIn(t, name, "INSERT INTO t VALUES (1)")
	if n, err := count(t, db); n != 0 || err != nil {
		t.Errorf("a replica that stands has %d rows, %v", n, err)
	}
	replica.Exec(t, "START SLAVE")
	WaitReplica(t, primary, replica)
	if n, err := count(t, db); n != 1 || err != nil {
		t.Errorf("a replica that runs has %d rows, %v", n, err)
	}
}

func TestNothingIsLeft(t *testing.T) {
	var s *Server
	t.Run("server", func(t *testing.T) { s = Start(t, TCP()) })
	if _, err := os.Stat(s.Socket); err == nil {
		t.Error("the socket is still there")
	}
	if c, err := net.DialTimeout("tcp", s.Addr, time.Second); err == nil {
		_ = c.Close()
		t.Error("the port is still open")
	}
}
