//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unitsDir has the units of the split shape, below the root of the sources.
const unitsDir = "contrib/systemd"

// socketUnits finds them, from the directory that the demo is started in upwards.
func socketUnits() ([]string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if all, err := filepath.Glob(filepath.Join(dir, unitsDir, "gatepost@*.socket")); err != nil || len(all) > 0 {
			return all, err
		}
	}
	return nil, errors.Join(err, errors.New("there are no socket units in "+unitsDir+": start this below the root of the sources"))
}

// The users of the split shape, who need not exist on the machine.
const (
	mailUser  = 5000
	askGroup  = 5100 // "gatepost"
	firstUser = 5101
	dataDir   = "/var/lib/gatepost"
	readyTime = 30 * time.Second
)

// splitNames are the processes, in the order in which they start.
var splitNames = []string{"state", "milter", "policyd", "authd", "lmtpd"}

// userID returns the id of a user or group of the units.
func userID(name string) (int, error) {
	for i, d := range splitNames {
		if name == "gatepost-"+d {
			return firstUser + i, nil
		}
	}
	switch name {
	case "vmail":
		return mailUser, nil
	case "gatepost":
		return askGroup, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// supervise stands in for systemd: it makes what tmpfiles and the socket units make,
// starts the five processes each as its user, and ends them when it is told to, or
// when one of them ends.
func supervise(binary, config string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	runtime.LockOSThread() // the death of its thread would end a process that it started
	if err := places(); err != nil {
		return err
	}
	ended, ready := make(chan error, len(splitNames)), make(chan string, len(splitNames))
	var running []*exec.Cmd
	for _, name := range splitNames {
		cmd, err := startOne(name, binary, config, ready)
		if err != nil {
			return errors.Join(fmt.Errorf("start %s: %w", name, err), end(running))
		}
		running = append(running, cmd)
		go func() { ended <- fmt.Errorf("%s ended: %w", name, cmd.Wait()) }()
		select {
		case <-ready:
		case err := <-ended:
			return errors.Join(err, end(running))
		case <-time.After(readyTime):
			return errors.Join(errors.New(name+" is not ready"), end(running))
		}
	}
	if err := tell("READY=1"); err != nil {
		return errors.Join(err, end(running))
	}
	for waiting := 0; ; {
		select {
		case <-hup:
			waiting = len(running)
			for _, cmd := range running {
				_ = cmd.Process.Signal(syscall.SIGHUP)
			}
		case <-ready:
			if waiting--; waiting == 0 {
				_ = tell("READY=1")
			}
		case err := <-ended:
			return errors.Join(err, end(running))
		case <-stop:
			if err := end(running); err != nil {
				return err
			}
			for range running {
				<-ended
			}
			return nil
		}
	}
}

// end asks all processes to end, those that ask before the one that answers.
func end(running []*exec.Cmd) error {
	for i := len(running) - 1; i >= 0; i-- {
		if err := running[i].Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	return nil
}

// places makes the directories as gatepost-split.tmpfiles.conf and StateDirectory=
// do.
func places() error {
	state, err := userID("gatepost-state")
	if err != nil {
		return err
	}
	if err := filepath.WalkDir(dataDir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, state, state))
	}); err != nil {
		return err
	}
	postfix, err := userID("postfix")
	if err != nil {
		return err
	}
	const queue = "/var/spool/postfix/gatepost"
	errs := []error{os.Chown("/run/gatepost", 0, 0), os.Chmod("/run/gatepost", 0o755), os.Chown(queue, 0, postfix), os.Chmod(queue, 0o750)}
	for _, name := range splitNames[1:] {
		dir, uid := dataDir+"-"+name, mailUser
		if name != "lmtpd" {
			if uid, err = userID("gatepost-" + name); err != nil {
				return err
			}
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		errs = append(errs, os.Chown(dir, uid, uid))
	}
	return errors.Join(errs...)
}

// sockets makes what the socket units of a service say.
func sockets(name string) (files []*os.File, err error) {
	units, err := socketUnits()
	if err != nil {
		return nil, err
	}
	for _, unit := range units {
		b, err := os.ReadFile(unit)
		if err != nil {
			return nil, err
		}
		of := map[string][]string{}
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				of[key] = append(of[key], value)
			}
		}
		if of["Service"][0] != "gatepost@"+name+".service" {
			continue
		}
		for _, path := range of["ListenStream"] {
			f, err := listen(path, of["SocketUser"][0], of["SocketGroup"][0], of["SocketMode"][0])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(unit), err)
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// listen makes one socket.
func listen(path, owner, group, mode string) (*os.File, error) {
	uid, err := userID(owner)
	if err != nil {
		return nil, err
	}
	gid, err := userID(group)
	if err != nil {
		return nil, err
	}
	bits, err := strconv.ParseUint(mode, 8, 12)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	defer ln.Close() // the copy stays
	if err := errors.Join(os.Chmod(path, fs.FileMode(bits)), os.Chown(path, uid, gid)); err != nil {
		return nil, err
	}
	return ln.File()
}

// startOne starts one process, and passes on each time that it says READY=1.
func startOne(name, binary, config string, ready chan<- string) (*exec.Cmd, error) {
	files, err := sockets(name)
	if err != nil {
		return nil, err
	}
	uid, groups := mailUser, []uint32{askGroup}
	if name != "lmtpd" {
		if uid, err = userID("gatepost-" + name); err != nil {
			return nil, err
		}
	}
	if name == "lmtpd" || name == "state" { // as the drop-ins have it, the first with managesieve.listen
		postfix, err := userID("postfix")
		if err != nil {
			return nil, err
		}
		groups = append(groups, uint32(postfix))
	}
	path := filepath.Join(filepath.Dir(config), "notify-"+name)
	_ = os.Remove(path)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, err
	}
	// systemd tells the process id that only the new process knows.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary, "--config", config, "serve", name)
	cmd.Dir, cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = "/", files, os.Stdout, os.Stderr
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/", "NOTIFY_SOCKET=" + path, fmt.Sprintf("LISTEN_FDS=%d", len(files))}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: groups}}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for _, f := range files {
		_ = f.Close()
	}
	go func() {
		b := make([]byte, 100)
		for {
			n, err := notify.Read(b)
			if err != nil {
				return
			}
			if string(b[:n]) == "READY=1" {
				ready <- name
			}
		}
	}()
	return cmd, nil
}

// tell tells who waits for us.
func tell(what string) error {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(what))
	return errors.Join(err, c.Close())
}
