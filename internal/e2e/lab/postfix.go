//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PostfixOverrides is all that the lab sets otherwise than
// examples/postfix/main.cf: addresses and names of the lab, and times and
// limits that would make tests slow.
var PostfixOverrides = []string{
	"inet_interfaces = 127.0.0.1, " + ServerIP + ", [" + ServerIP6 + "]",
	"smtp_bind_address = " + ServerIP,
	"smtp_bind_address6 = " + ServerIP6,
	"alias_maps =",
	"alias_database =",
	"maillog_file = /var/log/maillog.log",
	"queue_run_delay = 1s",
	"minimal_backoff_time = 1s",
	"maximal_backoff_time = 2s",
	"smtpd_error_sleep_time = 0",
	"smtpd_client_connection_count_limit = 0",
	"smtpd_client_connection_rate_limit = 0",
	"smtpd_client_message_rate_limit = 0",
	"smtpd_client_recipient_rate_limit = 0",
	"smtpd_client_auth_rate_limit = 0",
	"smtpd_soft_error_limit = 1000",
	"smtpd_hard_error_limit = 1000",
	"in_flow_delay = 0",
}

// postfixFiles is what postfix(1) needs to know of its own directories. The
// machine's copy lies in its /etc/postfix, which the lab does not read.
const postfixFiles = `$queue_directory:d:root:-:755:uc
$queue_directory/active:d:$mail_owner:-:700:ucr
$queue_directory/bounce:d:$mail_owner:-:700:ucr
$queue_directory/corrupt:d:$mail_owner:-:700:ucr
$queue_directory/defer:d:$mail_owner:-:700:ucr
$queue_directory/deferred:d:$mail_owner:-:700:ucr
$queue_directory/flush:d:$mail_owner:-:700:ucr
$queue_directory/hold:d:$mail_owner:-:700:ucr
$queue_directory/incoming:d:$mail_owner:-:700:ucr
$queue_directory/private:d:$mail_owner:-:700:uc
$queue_directory/maildrop:d:$mail_owner:$setgid_group:730:uc
$queue_directory/public:d:$mail_owner:$setgid_group:710:uc
$queue_directory/pid:d:root:-:755:uc
$queue_directory/saved:d:$mail_owner:-:700:ucr
$queue_directory/trace:d:$mail_owner:-:700:ucr
$data_directory:d:$mail_owner:-:700:uc
`

// preparePostfix fills /etc/postfix and the chroot in the queue directory.
func (l *Lab) preparePostfix() error {
	from, err := postfixFrom(l.opt.Existing)
	if err != nil {
		return err
	}
	for name, path := range from {
		if err := copyFile(path, "/etc/postfix/"+name, 0o644); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"postfix-files": postfixFiles, "dynamicmaps.cf": ""} {
		if err := os.WriteFile("/etc/postfix/"+name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	set := append([]string{"-e"}, append(PostfixOverrides, l.opt.Postfix...)...)
	if err := command("postconf", set...); err != nil {
		return err
	}
	if l.opt.Master != "" {
		if err := appendFile("/etc/postfix/master.cf", l.opt.Master); err != nil {
			return err
		}
	}
	if err := command("chown", "postfix:", "/var/lib/postfix"); err != nil {
		return err
	}
	// Debian's own script makes the chroot: resolv.conf, services, libraries.
	return command("/usr/lib/postfix/configure-instance.sh", "-")
}

// postfixFrom says where each file of /etc/postfix comes from.
func postfixFrom(existing bool) (map[string]string, error) {
	if existing {
		return map[string]string{
			"main.cf":   "/usr/share/postfix/main.cf.debian",
			"master.cf": "/usr/share/postfix/master.cf.dist",
		}, nil
	}
	root, err := Root()
	if err != nil {
		return nil, err
	}
	from := map[string]string{}
	for _, name := range []string{"main.cf", "master.cf", "submission_header_checks"} {
		from[name] = filepath.Join(root, "examples/postfix", name)
	}
	return from, nil
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// StartPostfix starts Postfix and waits until master says that it runs.
func (l *Lab) StartPostfix() error {
	from := len(l.Log("maillog"))
	p, err := l.start("postfix", exec.Command("postfix", "start-fg"))
	if err != nil {
		return err
	}
	l.postfix = p
	return l.Until("Postfix to start", func() error {
		if strings.Contains(l.Log("maillog")[from:], "daemon started") {
			return nil
		}
		if err := p.ended(); err != nil {
			return err
		}
		return fmt.Errorf("master has not said so yet")
	})
}

// StopPostfix ends Postfix.
func (l *Lab) StopPostfix() error {
	if l.postfix == nil || l.postfix.ended() != nil {
		return nil
	}
	// What `postfix stop` does, without its second of sleep.
	b, err := os.ReadFile("/var/spool/postfix/pid/master.pid")
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("read master.pid: %w", err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop Postfix: %w", err)
	}
	return l.postfix.await(10 * time.Second)
}

// Postfix runs one of Postfix's commands, such as "postqueue -f", and returns
// what it printed.
func (l *Lab) Postfix(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Sendmail runs sendmail(1) as an ordinary user of this host.
func (l *Lab) Sendmail(message []byte, args ...string) error {
	cmd := exec.Command("/usr/sbin/sendmail", args...)
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(string(message))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sendmail: %w: %s", err, out)
	}
	return nil
}

// nobody is Debian's ordinary user without rights.
const nobody = 65534
