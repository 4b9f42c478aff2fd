//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The second mail host.
const (
	SecondHostname = "mx2.example.org"
	SecondDomain   = "second.example"
	SecondIP       = "192.0.2.2"

	secondLoopback = "127.0.0.2"
)

// Host is a second mail host beside the lab's own: a Postfix and a gatepost with
// directories, names and addresses of their own, and the certificate of the
// first. Dovecot it has none. It receives the mail for SecondDomain.
type Host struct {
	// MailRoot has its Maildirs.
	MailRoot string

	lab     *Lab
	dir     string // has the configuration of both
	queue   string
	data    string
	run     string
	postfix *process
	gate    *process
	notify  *notify
}

// StartHost makes the second host and starts it. Config is YAML added to its
// gatepost.yaml. A lab has one at a time.
func (l *Lab) StartHost(config string) (*Host, error) {
	h := &Host{lab: l, dir: filepath.Join(l.Dir, "second"), queue: "/var/spool/postfix2",
		data: "/var/lib/gatepost2", run: "/run/gatepost2", MailRoot: "/var/vmail2"}
	for _, step := range []func() error{h.network, h.preparePostfix, h.prepareGatepost,
		func() error { return h.WriteConfig(config) }, h.StartGatepost, h.StartPostfix} {
		if err := step(); err != nil {
			return nil, errors.Join(fmt.Errorf("start second host: %w\n%s", err, l.Tails(15)), h.Stop())
		}
	}
	return h, nil
}

func (h *Host) network() error {
	for _, ip := range []string{SecondIP, secondLoopback} { // Postfix takes only what an interface has
		if err := command("ip", "addr", "add", ip+"/32", "dev", "lo"); err != nil {
			return err
		}
	}
	return h.lab.DNS.Add(strings.Join([]string{
		SecondHostname + ". A " + SecondIP,
		SecondHostname + ". TXT \"v=spf1 a -all\"",
		"2.2.0.192.in-addr.arpa. PTR " + SecondHostname + ".",
		SecondDomain + ". MX 10 " + SecondHostname + ".",
		SecondDomain + ". TXT \"v=spf1 mx -all\"",
	}, "\n"))
}

// preparePostfix copies the first host's configuration and chroot.
func (h *Host) preparePostfix() error {
	for _, dir := range []string{h.dir, h.queue, h.queue + ".data"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := command("chown", "postfix:", h.queue+".data"); err != nil {
		return err
	}
	for _, dir := range []string{"etc", "lib", "lib64", "usr"} {
		if from := filepath.Join("/var/spool/postfix", dir); exists(from) {
			if err := command("cp", "-a", from, h.queue); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"main.cf", "master.cf", "submission_header_checks", "postfix-files", "dynamicmaps.cf"} {
		b, err := os.ReadFile("/etc/postfix/" + name)
		if err != nil {
			return err
		}
		if name == "master.cf" { // ports that the first host has, or that a test adds there
			b = bytes.ReplaceAll(b, []byte("127.0.0.1:10587"), []byte(secondLoopback+":10587"))
			b = bytes.ReplaceAll(b, []byte(ServerIP+":"), []byte(SecondIP+":"))
		}
		if err := os.WriteFile(filepath.Join(h.dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return command("postconf", "-c", h.dir, "-e",
		"myhostname = "+SecondHostname,
		"queue_directory = "+h.queue,
		"data_directory = "+h.queue+".data",
		"inet_interfaces = "+secondLoopback+", "+SecondIP,
		"inet_protocols = ipv4",
		"smtp_bind_address = "+SecondIP,
		"smtp_bind_address6 =",
		"maillog_file = /var/log/maillog2.log",
		"outgoing_relay_restrictions = check_sasl_access inline:{ { gatepost@"+Domain+" = OK }, { gatepost@"+SecondDomain+" = OK } }, reject")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// prepareGatepost makes its directories, as docs/security.md has them.
func (h *Host) prepareGatepost() (err error) {
	if h.notify, err = newNotify(h.dir); err != nil {
		return err
	}
	group, err := user.LookupGroup("postfix")
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return err
	}
	for _, d := range []struct {
		path string
		gid  int
		mode os.FileMode
	}{
		{h.data, vmail, 0o700}, {h.MailRoot, vmail, 0o700}, {h.run, vmail, 0o750},
		{filepath.Join(h.queue, "gatepost"), gid, 0o750 | os.ModeSetgid},
	} {
		if err := os.Mkdir(d.path, 0o700); err != nil {
			return err
		}
		if err := os.Chown(d.path, vmail, d.gid); err != nil {
			return err
		}
		if err := os.Chmod(d.path, d.mode); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) configPath() string { return filepath.Join(h.dir, "gatepost.yaml") }

// WriteConfig puts a new gatepost.yaml in place of the old one.
func (h *Host) WriteConfig(more string) error {
	own := fmt.Sprintf("hostname: %s\nqueue_directory: %s\nruntime_directory: %s\ndata_directory: %s\nmail_root: %s\n",
		SecondHostname, h.queue, h.run, h.data, h.MailRoot)
	return os.WriteFile(h.configPath(), []byte(own+more), 0o644)
}

// StartGatepost starts its gatepost and waits until it is ready.
func (h *Host) StartGatepost() (err error) {
	h.gate, err = h.lab.startServer("gatepost2", h.notify, filepath.Join(h.lab.Dir, "gatepost"), "serve", "--config", h.configPath())
	return err
}

// KillGatepost ends its gatepost with SIGKILL.
func (h *Host) KillGatepost() error { return h.gate.stop(syscall.SIGKILL, time.Minute) }

// StopGatepost ends its gatepost in the orderly way.
func (h *Host) StopGatepost() error {
	if h.gate == nil {
		return nil
	}
	return h.gate.stop(syscall.SIGTERM, 30*time.Second)
}

// StartPostfix starts its Postfix and waits until master says that it runs.
func (h *Host) StartPostfix() error {
	from := len(h.lab.Log("maillog2"))
	p, err := h.lab.start("postfix2", exec.Command("postfix", "-c", h.dir, "start-fg"))
	if err != nil {
		return err
	}
	h.postfix = p
	return h.lab.Until("the second Postfix to start", func() error {
		if strings.Contains(h.lab.Log("maillog2")[from:], "daemon started") {
			return nil
		}
		if err := p.ended(); err != nil {
			return err
		}
		return errors.New("master has not said so yet")
	})
}

// Postfix runs one of Postfix's commands for this host.
func (h *Host) Postfix(name string, args ...string) (string, error) {
	return h.lab.Postfix(name, append([]string{"-c", h.dir}, args...)...)
}

// CLI runs the command line against its gatepost, as the mail user.
func (h *Host) CLI(stdin string, args ...string) (string, error) {
	return h.lab.cli(h.configPath(), stdin, args...)
}

// Stop ends both servers.
func (h *Host) Stop() error {
	var errs []error
	if h.postfix != nil && h.postfix.ended() == nil {
		if b, err := os.ReadFile(filepath.Join(h.queue, "pid/master.pid")); err != nil {
			errs = append(errs, err)
		} else if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			errs = append(errs, err)
		} else {
			errs = append(errs, syscall.Kill(pid, syscall.SIGTERM), h.postfix.await(10*time.Second))
		}
	}
	errs = append(errs, h.StopGatepost(), h.clear())
	if h.notify != nil {
		h.notify.close()
	}
	return errors.Join(errs...)
}

// clear takes its directories and addresses away, so that another test can start
// it anew.
func (h *Host) clear() error {
	var errs []error
	for _, dir := range []string{h.dir, h.queue, h.queue + ".data", h.data, h.run, h.MailRoot} {
		errs = append(errs, os.RemoveAll(dir))
	}
	for _, ip := range []string{SecondIP, secondLoopback} {
		errs = append(errs, command("ip", "addr", "del", ip+"/32", "dev", "lo"))
	}
	return errors.Join(errs...)
}
