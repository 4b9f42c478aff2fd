package mariadbtest

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Option changes how a server is started.
type Option func(*options)

type options struct {
	tcp, tls bool
	args     []string
}

// TCP makes the server listen on a port of 127.0.0.1 too.
func TCP() Option { return func(o *options) { o.tcp = true } }

// TLS makes the server listen on TCP with a certificate for 127.0.0.1 and
// localhost, which the file CA of the Server vouches for. Who does not ask for
// TLS gets in without it; REQUIRE SSL in CREATE USER changes that.
func TLS() Option { return func(o *options) { o.tcp, o.tls = true, true } }

// Args adds options of mariadbd, as "--max-connections=5".
func Args(args ...string) Option {
	return func(o *options) { o.args = append(o.args, args...) }
}

// Primary makes the server one that StartReplica can follow.
func Primary() Option {
	return func(o *options) {
		o.tcp = true
		o.args = append(o.args, "--log-bin=binlog", "--server-id=1", "--binlog-format=ROW")
	}
}

// User is a user of the server.
type User struct{ Name, Password string }

// Server is a mariadbd of the test. Its fields stay the same over a restart.
type Server struct {
	// Socket is the path of its unix socket.
	Socket string
	// Addr is its host:port, empty without TCP.
	Addr string
	// CA is the file with the certificate that vouches for it, empty without TLS.
	CA string
	// Root may do everything, over the socket and TCP.
	Root User

	dir  string
	id   *identity
	args []string
	run  *process // nil while it is down
}

// Start starts a server with empty tables. It ends with the test.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	files := systemTables(t)
	id, err := whoRuns()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: a unix socket's path has 107 bytes at most.
	dir, err := os.MkdirTemp("/tmp", "gpdb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &Server{
		Socket: filepath.Join(dir, "s"), Root: User{"root", rand.Text()},
		dir: dir, id: id,
	}
	if err := s.prepare(files, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(syscall.SIGTERM) })
	s.start(t)
	return s
}

// prepare lays out the directory and the command line.
func (s *Server) prepare(files tables, o options) error {
	if err := files.write(filepath.Join(s.dir, "data"), s.id); err != nil {
		return err
	}
	s.args = append([]string{
		"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data"), "--socket=" + s.Socket,
		"--pid-file=" + filepath.Join(s.dir, "pid"), "--init-file=" + filepath.Join(s.dir, "init.sql"),
		"--tmpdir=" + s.dir, "--skip-name-resolve", "--skip-slave-start",
		"--character-set-server=utf8mb4", "--performance-schema=OFF", "--loose-skip-symbolic-links",
	}, small...)
	if !o.tcp {
		s.args = append(s.args, "--skip-networking")
	} else {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		s.Addr = addr
		_, port, _ := net.SplitHostPort(addr)
		s.args = append(s.args, "--bind-address=127.0.0.1", "--port="+port)
	}
	if o.tls {
		pems, err := certificates()
		if err != nil {
			return err
		}
		for name, data := range pems {
			if err := s.id.writeFile(filepath.Join(s.dir, name), data); err != nil {
				return err
			}
		}
		s.CA = filepath.Join(s.dir, caFile)
		s.args = append(s.args, "--ssl-cert="+filepath.Join(s.dir, certFile), "--ssl-key="+filepath.Join(s.dir, keyFile))
	}
	s.args = append(s.args, o.args...)
	init := fmt.Sprintf(`SET sql_log_bin = 0;
DELETE FROM mysql.global_priv WHERE User = '' OR User = 'root' AND Host <> 'localhost';
FLUSH PRIVILEGES;
ALTER USER root@localhost IDENTIFIED BY '%[1]s';
CREATE USER root@'%%' IDENTIFIED BY '%[1]s';
GRANT ALL ON *.* TO root@'%%' WITH GRANT OPTION;
`, s.Root.Password)
	if err := s.id.writeFile(filepath.Join(s.dir, "init.sql"), []byte(init)); err != nil {
		return err
	}
	return s.id.own(s.dir)
}

// freeAddr returns an address of loopback that nobody listens on. Another
// process may take it before the server does; the server then does not start.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	run, err := launch(s.id.command("mariadbd", s.args...))
	if err != nil {
		t.Fatal(err)
	}
	s.run = run
}

// end stops the process with sig, if it runs, and waits for it.
func (s *Server) end(sig syscall.Signal) {
	if s.run != nil {
		s.run.end(sig)
		s.run = nil
	}
}

// Stop shuts the server down as its administrator would, and waits for it.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.end(syscall.SIGTERM)
}

// Kill ends the server by SIGKILL, in the middle of what it does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.end(syscall.SIGKILL)
}

// Pause stops the server's process without closing a connection: what is asked
// is never answered, and a connection is taken by the kernel only.
func (s *Server) Pause(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if s.run == nil {
		t.Fatal("the server is down")
	}
	if err := s.run.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// Restart starts a server that is down, or shuts it down first, on the same
// data, socket and port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.end(syscall.SIGTERM)
	s.start(t)
}

// lookPath finds a program, also where ordinary users do not look.
func lookPath(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}
