//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// debianMain is what Debian's installation sets for an "Internet Site" over
// its main.cf template.
var debianMain = []string{
	"smtpd_tls_cert_file = /etc/ssl/certs/" + Hostname + ".pem",
	"smtpd_tls_key_file = /etc/ssl/private/" + Hostname + ".key",
	"smtpd_tls_security_level = may",
	"smtp_tls_CApath = /etc/ssl/certs",
	"smtp_tls_security_level = may",
	"smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
	"myhostname = " + Hostname,
	"myorigin = " + Hostname,
	"mydestination = $myhostname, " + Domain + ", localhost",
	"relayhost =",
	"mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128",
	"mailbox_size_limit = 0",
	"recipient_delimiter = +",
	// What many a page on Postfix and Dovecot adds.
	"smtpd_sasl_type = dovecot",
	"smtpd_sasl_path = private/auth",
	"smtpd_sasl_auth_enable = yes",
}

// debianMaster is the submission part of Debian's master.cf with its comment
// signs taken away, as an administrator does it.
const debianMaster = `
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
  -o milter_macro_daemon_name=ORIGINATING
submissions     inet  n       -       y       -       -       smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
  -o milter_macro_daemon_name=ORIGINATING
`

// mountExisting makes /etc and /usr/local the lab's own: a copy of the one,
// without the files of Postfix and Dovecot, and an empty other, which keeps
// only Go where that is installed there.
func mountExisting(dir string) error {
	// In memory: the copy holds /etc/shadow.
	etc := filepath.Join(dir, "etc-all")
	if err := mountTmpfs(etc); err != nil {
		return err
	}
	files, err := os.ReadDir("/etc")
	if err != nil {
		return err
	}
	args := []string{"-a", "-t", etc, "--"}
	for _, f := range files {
		switch f.Name() {
		case "postfix", "dovecot", "ssl":
			if err := os.Mkdir(filepath.Join(etc, f.Name()), 0o755); err != nil {
				return err
			}
		default:
			args = append(args, "/etc/"+f.Name())
		}
	}
	if err := command("cp", args...); err != nil {
		return err
	}
	local := filepath.Join(dir, "usr-local")
	if err := os.Mkdir(local, 0o755); err != nil {
		return err
	}
	if err := keepGo(local); err != nil {
		return err
	}
	if err := syscall.Mount(local, "/usr/local", "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("mount on /usr/local: %w", err)
	}
	return bind(etc, "/etc")
}

func mountTmpfs(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", path, err)
	}
	return nil
}

// keepGo mounts the Go installation below local when it is in /usr/local.
func keepGo(local string) error {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	root := strings.TrimSpace(string(out))
	rel, ok := strings.CutPrefix(root, "/usr/local/")
	if !ok {
		return nil
	}
	on := filepath.Join(local, rel)
	if err := os.MkdirAll(on, 0o755); err != nil {
		return err
	}
	return bind(root, on)
}

// prepareExisting gives Postfix and Dovecot what their installation asks or
// makes: names, and a certificate.
func (l *Lab) prepareExisting() error {
	if err := command("postconf", append([]string{"-e"}, debianMain...)...); err != nil {
		return err
	}
	if err := appendFile("/etc/postfix/master.cf", debianMaster); err != nil {
		return err
	}
	private := "/etc/dovecot/private"
	if err := os.Mkdir(private, 0o700); err != nil {
		return err
	}
	for name, from := range map[string]string{
		"dovecot.pem": "/etc/ssl/certs/" + Hostname + ".pem",
		"dovecot.key": "/etc/ssl/private/" + Hostname + ".key",
	} {
		if err := os.Symlink(from, filepath.Join(private, name)); err != nil {
			return err
		}
	}
	return nil
}

// RunService starts gatepost as the unit file at path says: the ExecStart line
// as the mail user, without the sandbox and the sockets that only systemd
// makes.
func (l *Lab) RunService(path string) error {
	unit, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(unit)) {
		if argv, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart="); ok {
			return l.serve(strings.Fields(argv))
		}
	}
	return fmt.Errorf("%s: no ExecStart line", path)
}
