// Package mariadbtest starts real MariaDB servers for tests: each in a
// directory of its own under /tmp, on a unix socket, and on loopback only when
// it is asked for. Real rights hold there: nothing runs with
// --skip-grant-tables.
//
//	server := mariadbtest.Start(t)
//	name := server.CreateDatabase(t)
//	user := server.CreateUser(t, "SELECT ON `"+name+"`.*")
//	db := server.OpenAs(t, user, name)
//
// The system tables are made once for each test binary (about a second) and
// kept in memory, a server is up about 0.3 s later. It does not sync: a server
// that is killed keeps its data, as the kernel still has them, a machine that
// stops does not.
//
// A machine without mariadbd skips the test by name, and fails it in CI. As
// root the servers run as the user mysql, which Debian's package makes, because
// mariadbd refuses to be root.
package mariadbtest
