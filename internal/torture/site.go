package torture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	hostname = "mx.example.test"
	domain   = "example.test"
	// nobody is who gatepost runs as where this process is root.
	nobody = 65534
	// patience bounds each wait for a process.
	patience = 20 * time.Second
)

// site is one gatepost with directories of its own.
type site struct {
	binary, dir string
	uid         int
	cmd         *exec.Cmd
	gone        chan error
}

// newSite makes the directories, or takes those that are there.
func newSite(binary, dir string) (*site, error) {
	s := &site{binary: binary, dir: dir, uid: os.Geteuid()}
	if s.uid == 0 {
		s.uid = nobody
	}
	for _, d := range []string{"", "data", "run", "queue", "queue/gatepost", "vmail"} {
		p := filepath.Join(dir, d)
		if err := os.MkdirAll(p, 0o755); err != nil {
			return nil, err
		}
		if err := os.Chown(p, s.uid, s.uid); err != nil {
			return nil, err
		}
	}
	conf := fmt.Sprintf("hostname: %s\nmail_uid: %d\nmail_gid: %d\ndata_directory: %s\nruntime_directory: %s\nqueue_directory: %s\nmail_root: %s\n",
		hostname, s.uid, s.uid, s.path("data"), s.path("run"), s.path("queue"), s.path("vmail"))
	return s, os.WriteFile(s.path("gatepost.yaml"), []byte(conf), 0o644)
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) socket() string { return s.path("queue/gatepost/lmtp") }

// mailbox returns the Maildir of a user.
func (s *site) mailbox(user string) string {
	return filepath.Join(s.path("vmail"), domain, user, "Maildir")
}

// command runs argv as the mail user.
func (s *site) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/"}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.uid)}}
	}
	return cmd
}

// cli runs a command of gatepost; one that was done by an earlier run is no
// error.
func (s *site) cli(ctx context.Context, stdin string, args ...string) error {
	cmd := s.command(ctx, append([]string{s.binary, "--config", s.path("gatepost.yaml")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "exists") {
		return fmt.Errorf("gatepost %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// addUsers makes the accounts.
func (s *site) addUsers(ctx context.Context, users []string) error {
	if err := s.cli(ctx, "", "domain", "add", domain); err != nil {
		return err
	}
	for _, u := range users {
		if err := s.cli(ctx, "a long enough password\n", "user", "add", u+"@"+domain); err != nil {
			return err
		}
	}
	return nil
}

// start starts the delivery daemon, under a program that wraps it if one is
// given, and returns when it accepts.
func (s *site) start(ctx context.Context, wrapper ...string) error {
	argv := append(wrapper, s.binary, "serve", "lmtpd", "--config", s.path("gatepost.yaml"))
	log, err := os.OpenFile(s.path("gatepost.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = s.command(ctx, argv...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.gone = make(chan error, 1)
	go func(cmd *exec.Cmd, gone chan error) { gone <- cmd.Wait() }(s.cmd, s.gone)
	return s.await(ctx)
}

// await polls the socket: a process that was killed left one that nobody
// answers on.
func (s *site) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("unix", s.socket())
		if err == nil {
			return c.Close()
		}
		select {
		case err := <-s.gone:
			s.gone <- err
			return fmt.Errorf("gatepost ended: %w; see %s", errors.Join(err, errEnded), s.path("gatepost.log"))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for gatepost: %w", ctx.Err()), s.end(syscall.SIGKILL))
		case <-tick.C:
		}
	}
}

var errEnded = errors.New("it was not asked to")

// end ends the process and waits for it.
func (s *site) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	defer func() { s.cmd = nil }()
	select {
	case <-s.gone:
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("gatepost does not end after %v", sig), s.cmd.Process.Kill())
	}
}
