package mariadbtest

import (
	"crypto/rand"
	"database/sql"
	"net"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// CreateDatabase makes an empty database with a name of its own.
func (s *Server) CreateDatabase(t testing.TB) string {
	t.Helper()
	name := "d" + strings.ToLower(rand.Text())
	s.Exec(t, "CREATE DATABASE `"+name+"`")
	return name
}

// CreateUser makes a user with a name of its own, and gives it rights, each as
// in GRANT: "SELECT ON `db`.*". It may log in over the socket and TCP.
func (s *Server) CreateUser(t testing.TB, rights ...string) User {
	t.Helper()
	u := User{"u" + strings.ToLower(rand.Text()), rand.Text()}
	s.Exec(t, "CREATE USER '"+u.Name+"'@'%' IDENTIFIED BY '"+u.Password+"'")
	s.Grant(t, u, rights...)
	return u
}

// Grant gives u more rights.
func (s *Server) Grant(t testing.TB, u User, rights ...string) {
	t.Helper()
	for _, r := range rights {
		s.Exec(t, "GRANT "+r+" TO '"+u.Name+"'@'%'")
	}
}

// Exec runs statements as root, with semicolons between them, in no database
// until one says USE.
func (s *Server) Exec(t testing.TB, script string) {
	t.Helper()
	s.ExecIn(t, "", script)
}

// ExecIn runs statements as root in a database.
func (s *Server) ExecIn(t testing.TB, database, script string) {
	t.Helper()
	db := s.open(t, s.Root, database)
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(script); err != nil {
		t.Fatalf("%v in %s", err, script)
	}
}

// Open opens a database, or none for "", as root, until the test ends. Scripts
// of several statements go through it.
func (s *Server) Open(t testing.TB, database string) *sql.DB {
	t.Helper()
	return s.OpenAs(t, s.Root, database)
}

// OpenAs is Open for another user.
func (s *Server) OpenAs(t testing.TB, u User, database string) *sql.DB {
	t.Helper()
	db := s.open(t, u, database)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *Server) open(t testing.TB, u User, database string) *sql.DB {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = u.Name, u.Password
	cfg.Net, cfg.Addr, cfg.DBName = "unix", s.Socket, database
	cfg.MultiStatements, cfg.InterpolateParams = true, true
	cfg.Logger = &mysql.NopLogger{} // a server that is killed is no news here
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sql.OpenDB(connector)
}

// StartReplica starts a server that repeats what primary does, and can only be
// read: a second behind, or as much as a test wants with
// Exec(t, "STOP SLAVE SQL_THREAD") and "START SLAVE". primary was started with
// Primary. Users, too, are repeated; root is not, and has a password of its own.
func StartReplica(t testing.TB, primary *Server, opts ...Option) *Server {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		t.Fatalf("the primary has no TCP: %v", err)
	}
	r := Start(t, append([]Option{Args("--server-id=2", "--read-only=ON")}, opts...)...)
	u := primary.CreateUser(t, "REPLICATION SLAVE ON *.*")
	r.Exec(t, "CHANGE MASTER TO MASTER_HOST='"+host+"', MASTER_PORT="+port+
		", MASTER_USER='"+u.Name+"', MASTER_PASSWORD='"+u.Password+"', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1; START SLAVE")
	return r
}

// WaitReplica returns when the replica has repeated all that primary has done
// so far.
func WaitReplica(t testing.TB, primary, replica *Server) {
	t.Helper()
	var pos string
	if err := primary.Open(t, "").QueryRow("SELECT @@gtid_binlog_pos").Scan(&pos); err != nil {
		t.Fatal(err)
	}
	var late int
	if err := replica.Open(t, "").QueryRow("SELECT MASTER_GTID_WAIT(?, 30)", pos).Scan(&late); err != nil || late != 0 {
		t.Fatalf("the replica is behind %s after 30 s: %v", pos, err)
	}
}
