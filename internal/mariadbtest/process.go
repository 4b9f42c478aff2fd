package mariadbtest

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startTime is how long a server may take until it answers, on a machine with
	// much to do.
	startTime = time.Minute
	// stopTime is how long it may take to end by itself.
	stopTime = 30 * time.Second
	// maxLog bounds what is kept of a server's log, in lines.
	maxLog = 200
)

// identity is the user that the servers run as.
type identity struct{ cred *syscall.Credential } // nil for ourselves

// whoRuns returns whom mariadbd runs as: ourselves, or as root the user mysql.
func whoRuns() (*identity, error) {
	if os.Getuid() != 0 {
		return &identity{}, nil
	}
	u, err := user.Lookup("mysql")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoServer, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("user mysql has ids %s and %s", u.Uid, u.Gid)
	}
	return &identity{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// missing skips the test for what is not on this machine, and fails it in CI.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// own gives path to the identity.
func (id *identity) own(path string) error {
	if id.cred == nil {
		return nil
	}
	return os.Chown(path, int(id.cred.Uid), int(id.cred.Gid))
}

func (id *identity) writeFile(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	return id.own(path)
}

func (id *identity) mkdir(path string, perm fs.FileMode) error {
	if err := os.MkdirAll(path, perm); err != nil {
		return err
	}
	return id.own(path)
}

// command returns a command of the identity that dies with this process. The
// user is changed here and not by mariadbd --user: a process that changes its
// user itself loses the signal of its parent's death.
func (id *identity) command(name string, args ...string) *exec.Cmd {
	path, err := lookPath(name)
	if err != nil {
		path = name // the error comes again when it is started
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "HOME=/nonexistent"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: id.cred}
	return cmd
}

// process is a mariadbd that runs.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended

	mu  sync.Mutex // guards log
	log []string
}

// launch starts cmd and returns when it answers.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, gone: make(chan struct{})}
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		defer close(p.gone)
		lines := bufio.NewScanner(out)
		for told := false; lines.Scan(); {
			p.note(lines.Text())
			if !told && strings.Contains(lines.Text(), "ready for connections") {
				told = true
				close(ready)
			}
		}
		_ = cmd.Wait() // how it ended is in its log
	}()
	select {
	case <-ready:
		return p, nil
	case <-p.gone:
		return nil, fmt.Errorf("mariadbd ended: %s", p.told())
	case <-time.After(startTime):
		p.end(syscall.SIGKILL)
		return nil, fmt.Errorf("mariadbd is not ready after %s: %s", startTime, p.told())
	}
}

func (p *process) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.log) < maxLog {
		p.log = append(p.log, line)
	}
}

func (p *process) told() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// end sends sig and waits; who does not listen is killed. A paused process is
// woken first: it would not hear anything else.
func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // it may be gone
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-p.gone:
		return
	case <-time.After(stopTime):
	}
	_ = p.cmd.Process.Kill()
	<-p.gone
}
