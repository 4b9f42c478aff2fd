package maildir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildirsize"
)

func TestReadUsage(t *testing.T) {
	root := t.TempDir()
	home := func(name string) string { return filepath.Join(root, "example.org", name, "Maildir") }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, s string) {
		t.Helper()
		must(os.MkdirAll(home(name), 0o700))
		must(os.WriteFile(filepath.Join(home(name), "maildirsize"), []byte(s), 0o600))
	}
	write("alice", "20480S,50C\n0 0\n234 1\n")
	write("long", "1S\n"+strings.Repeat("1 1\n", 1<<20))
	write("dir", "")
	must(os.Remove(filepath.Join(home("dir"), "maildirsize")))
	must(os.Mkdir(filepath.Join(home("dir"), "maildirsize"), 0o700))
	must(os.MkdirAll(home("none"), 0o700))
	must(os.MkdirAll(home("fifo"), 0o700))
	must(unix.Mkfifo(filepath.Join(home("fifo"), "maildirsize"), 0o600))
	must(os.MkdirAll(home("filelink"), 0o700))
	must(os.Symlink("../../alice/Maildir/maildirsize", filepath.Join(home("filelink"), "maildirsize")))
	must(os.Symlink("alice", filepath.Join(root, "example.org", "homelink")))
	must(os.Mkdir(filepath.Join(root, "example.org", "mdlink"), 0o700))
	must(os.Symlink("../alice/Maildir", home("mdlink")))

	for _, tc := range []struct {
		local string
		want  error
	}{
		{"alice", nil}, {"Alice", nil}, {"none", fs.ErrNotExist}, {"nobody", fs.ErrNotExist}, {"../x", ErrUnsafe},
		{"long", maildirsize.ErrBroken}, {"dir", maildirsize.ErrBroken}, {"fifo", maildirsize.ErrBroken},
		{"filelink", unix.ELOOP}, {"homelink", unix.ENOTDIR}, {"mdlink", unix.ENOTDIR},
	} {
		got, err := ReadUsage(root, mailaddr.Address{LocalPart: tc.local, Domain: "example.org"})
		want := maildirsize.Usage{}
		if tc.want == nil {
			want = maildirsize.Usage{Bytes: 234, Messages: 1, MaxBytes: 20480, MaxMessages: 50}
		}
		if !errors.Is(err, tc.want) || got != want {
			t.Errorf("ReadUsage(%s) = %+v, %v, want %v", tc.local, got, err, tc.want)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "example.org", "nobody")); err == nil {
		t.Error("ReadUsage made a home")
	}
}
