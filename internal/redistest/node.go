package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

const (
	// patience is how long a server may take for anything.
	patience = time.Minute
	// busOffset is how far a node's bus port lies from its port.
	busOffset = 10_000
)

// Node is one server. Its methods are for the goroutine of the test.
type Node struct {
	// Addr is "127.0.0.1:port", the same after a restart.
	Addr string

	t       testing.TB
	program string
	args    []string
	dir     string
	cmd     *exec.Cmd
	exited  chan struct{}
	cli     *goredis.Client
}

// program returns the server to run, or skips.
func program(t testing.TB) string {
	t.Helper()
	names := []string{"redis-server", "valkey-server"}
	if name := os.Getenv("REDIS_SERVER"); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing := "there is no " + strings.Join(names, " and no ") + ": install Debian's redis-server"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// freePort returns a port that nobody listened on a moment ago, with its bus
// port. Ports below the range of outgoing connections are seldom taken between
// now and then; who loses the race tries again.
func freePort(t testing.TB) int {
	t.Helper()
	for i := range 200 {
		port := 12_000 + (os.Getpid()*131+int(time.Now().UnixNano()/1000)+i*977)%10_000
		if free(port) && free(port+busOffset) {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func free(port int) bool {
	ln, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return ln.Close() == nil
}

// start runs a server on a port of its own, and returns when it answers.
// settings makes the arguments for a port and a directory.
func start(t testing.TB, settings func(port int, dir string) []string) *Node {
	t.Helper()
	logging.Disable() // that a server is not up yet is no news
	n := &Node{t: t, program: program(t)}
	dir, err := os.MkdirTemp("/tmp", "gp-redis-")
	if err != nil {
		t.Fatal(err)
	}
	n.dir = dir
	t.Cleanup(func() {
		n.end()
		if n.cli != nil {
			_ = n.cli.Close()
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", n.Addr, n.tail())
		}
		_ = os.RemoveAll(dir)
	})
	for range 10 {
		port := freePort(t)
		n.Addr = "127.0.0.1:" + strconv.Itoa(port)
		n.args = settings(port, dir)
		if n.run() {
			return n
		}
	}
	t.Fatalf("redistest: no server came up: %s", n.tail())
	return nil
}

// run starts the server and reports whether it answers; one whose port somebody
// else took in between ends by itself.
func (n *Node) run() bool {
	n.t.Helper()
	n.cmd = exec.Command(n.program, n.args...)
	n.cmd.Dir = n.dir
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	exited := make(chan struct{})
	n.exited = exited
	if err := spawn(n.cmd, exited); err != nil {
		n.t.Fatal(err)
	}
	if n.cli != nil {
		_ = n.cli.Close()
	}
	n.cli = goredis.NewClient(&goredis.Options{
		Addr: n.Addr, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second, ReadTimeout: 10 * time.Second,
		Protocol: 2, DisableIdentity: true,
		// After so many failures in a row the client itself waits for a second.
		PoolSize: 10_000,
	})
	for end := time.Now().Add(patience); time.Now().Before(end); {
		select {
		case <-exited:
			return false
		case <-time.After(5 * time.Millisecond):
		}
		if n.answers() {
			return true
		}
	}
	n.end()
	return false
}

// spawn starts cmd and closes exited when it has ended. Pdeathsig fires when the
// thread that started the child ends: the goroutine keeps it until then.
func spawn(cmd *exec.Cmd, exited chan<- struct{}) error {
	started := make(chan error)
	go func() {
		defer close(exited)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // a killed server is no news
		}
	}()
	return <-started
}

// answers reports whether the server that answers at Addr is the one we started.
func (n *Node) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	info, err := n.cli.Info(ctx, "server").Result()
	return err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r", n.cmd.Process.Pid))
}

// end kills the server and waits until it is gone.
func (n *Node) end() {
	if n.cmd == nil || n.cmd.Process == nil {
		return
	}
	_ = n.cmd.Process.Kill() // it may be gone already
	<-n.exited
}

func (n *Node) signal(sig syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		n.t.Fatalf("signal %v to %s: %v", sig, n.Addr, err)
	}
}

// tail returns the end of the server's log.
func (n *Node) tail() string {
	b, err := os.ReadFile(filepath.Join(n.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// Do sends a command to this node and returns the answer, which is an error or
// what go-redis makes of it: a string, int64 or []any.
func (n *Node) Do(args ...any) any {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v, err := n.cli.Do(ctx, args...).Result()
	if err != nil {
		return err
	}
	return v
}

// must is Do for what has to succeed.
func (n *Node) must(args ...any) any {
	n.t.Helper()
	v := n.Do(args...)
	if err, bad := v.(error); bad {
		n.t.Fatalf("%v on %s: %v", args, n.Addr, err)
	}
	return v
}

// until waits for something that servers arrange among themselves.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	t.Fatalf("redistest: waited %v for %s", patience, what)
}
