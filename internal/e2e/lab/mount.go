//go:build linux

package lab

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// vmail is the mail user, who need not exist on the machine.
const vmail = 5000

// etcFiles replace those of the machine inside the lab.
var etcFiles = map[string]string{
	"hosts":         "127.0.0.1 localhost\n::1 localhost\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n",
	"resolv.conf":   "nameserver " + dnsIP + "\noptions timeout:2 attempts:1\n",
}

// dirs are scratch directories, each with the place that it is mounted on.
var dirs = []struct{ name, on string }{
	{"run", "/run"},
	{"var", "/var"},
	{"ssl", "/etc/ssl"},
	{"postfix", "/etc/postfix"},
	{"dovecot", "/etc/dovecot"},
}

// varDirs are what Debian has in /var and the lab's programs use.
var varDirs = []string{"lib/dovecot", "lib/postfix", "log", "spool/postfix", "tmp"}

// mounts puts scratch files and directories over those of the machine. With
// existing, all of /etc and /usr/local may be written to, see existing.go.
func mounts(dir string, existing bool) error {
	if existing {
		if err := mountExisting(dir); err != nil {
			return err
		}
	}
	for _, d := range dirs {
		path := filepath.Join(dir, d.name)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		if err := bind(path, d.on); err != nil {
			return err
		}
	}
	for _, d := range varDirs {
		if err := os.MkdirAll(filepath.Join("/var", d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("../run", "/var/run"); err != nil {
		return err
	}
	return mountEtc(dir, existing)
}

// mountEtc puts names and resolver of the lab into /etc. passwd and group are
// the machine's own with vmail added, or, with existing, taken out: making
// that user is part of what an administrator does.
func mountEtc(dir string, existing bool) error {
	etc := filepath.Join(dir, "etc")
	if err := os.Mkdir(etc, 0o755); err != nil {
		return err
	}
	files := map[string]string{
		"passwd": fmt.Sprintf("vmail:x:%d:%d:Mail user:/var/vmail:/usr/sbin/nologin\n", vmail, vmail),
		"group":  fmt.Sprintf("vmail:x:%d:\n", vmail),
	}
	for name, line := range files {
		b, err := os.ReadFile("/etc/" + name)
		if err != nil {
			return err
		}
		files[name] = withoutEntry(string(b), "vmail", fmt.Sprint(vmail))
		if !existing {
			files[name] += line
		}
	}
	maps.Copy(files, etcFiles)
	for name, text := range files {
		path := filepath.Join(etc, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		put := cover
		if existing {
			put = replace // by a plain file: systemd-sysusers renames over it
		}
		if err := put("/etc/"+name, path); err != nil {
			return err
		}
	}
	return nil
}

// withoutEntry drops the lines of a passwd or group file with that name or
// number.
func withoutEntry(text, name, id string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if f[0] == name || len(f) > 2 && f[2] == id {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// cover mounts the file from over path. Where path is a link into /run, as
// resolv.conf often is, the link hangs in the air by now: from is copied to
// where it points in our own /run.
func cover(path, from string) error {
	on, err := filepath.EvalSymlinks(path)
	if err == nil {
		return bind(from, on)
	}
	link, linkErr := os.Readlink(path)
	if linkErr != nil {
		return err
	}
	if !filepath.IsAbs(link) {
		link = filepath.Join(filepath.Dir(path), link)
	}
	if !strings.HasPrefix(link, "/run/") {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	return copyFile(from, link, 0o644)
}

// replace puts a copy of the file from in place of path, which may be a link.
func replace(path, from string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return copyFile(from, path, 0o644)
}

func bind(from, on string) error {
	if err := syscall.Mount(from, on, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", from, on, err)
	}
	return nil
}
