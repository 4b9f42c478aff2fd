//go:build linux && e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// TestUserHearsOfGuesses: who is guessed at is told once, by mail into the own
// mailbox, that nobody got in. The administrator gets none of it.
func TestUserHearsOfGuesses(t *testing.T) {
	box, own := user(t, "guessedat"), machine(t)
	secret := filepath.Join(the.Dir, "outgoing.password")
	if err := os.WriteFile(secret, []byte(own.Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	withPolicy(t, noGreylist, fmt.Sprintf(`outgoing: { address: "127.0.0.1:10587", user: %s, password_file: %s }
notices: { to: [nosy-admin@example.net], from: watch@%s }
guard: { notify_failures: 3 }
`, own.User, secret, lab.Domain))
	for i := range 5 {
		c, err := the.IMAP(fmt.Sprintf("203.0.113.%d", 100+i))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := c.Login(box.User, fmt.Sprint("guess", i)); err != nil || a.OK() {
			t.Errorf("guess %d: %v %v", i, a, err)
		}
		c.Close()
	}
	dir := filepath.Join("/var/vmail", lab.Domain, "guessedat", "Maildir/new")
	var told []string
	if err := the.Until("the notice in the mailbox", func() error {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		told = files
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("%s is empty", dir)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	msg, err := os.ReadFile(told[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !strings.Contains(string(msg), "3 wrong passwords from 3 networks; nobody got in") {
		t.Errorf("%d notices, the first is\n%s", len(told), msg)
	}
	for _, m := range the.NextHop.Messages() {
		if strings.Contains(string(m.Data), box.User) {
			t.Errorf("the administrator was told:\n%s", m.Data)
		}
	}
}
